"""`python -m training.codes`: trains encoder and quantizer on mels, then freezes them.

With `judge`, it judges them by ear instead: mels through the codes, beside the mels themselves.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from training.codec.config import CodecConfig
from training.codec.frozen import MEL_HEAD, write_frozen, write_mel_head
from training.codec.judgement import Judge, Judged, Table
from training.codec.precision import best_device
from training.codec.segments import SpeechSegments
from training.codes.freezing import check_not_in_use, is_in_use
from training.codes.judging import codes_renderings
from training.codes.trainee import CodesRecipe, CodesTrainee
from training.distributed import World, open_world
from training.ear.process import start_ear
from training.errors import TrainingError
from training.files import hash_file
from training.folder import TrainingFolder, current_folder
from training.recipe import Recipe, claim, read_recipe_hash
from training.settings import load_settings
from training.shards import read_info
from training.stage import StopRequest, add_process_arguments, deadline, lock_for_stage, run_stage
from training.states import Plan, finished_folder, newest_step, split_steps
from training.trainer import Limits, load_newest, train_to_budget

logger = logging.getLogger(__name__)

RESTART_SHARE = 0.6
"""Of the part before: unused codes are moved in this much of it at most."""


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.codes", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("train", "judge"), default="train")
    add_process_arguments(parser)
    parser.add_argument("--freeze", action="store_true", help="freeze what is trained so far")
    parser.add_argument("--limit", type=int, help="of recordings to judge (default: all)")
    arguments = parser.parse_args(argv)
    settings = load_settings()
    folder = current_folder(settings)
    is_judge = arguments.command == "judge"
    if is_in_use(folder) and not is_judge:
        logger.info("%s is in use: codes are not trained any further", folder.encoder)
        return
    stop = StopRequest()
    stop.listen()
    torch.set_num_threads(1)
    world = open_world(arguments.rank, arguments.world, arguments.port)
    codes = CodesStage(folder, CodecConfig(), CodesRecipe(), world)
    if is_judge:
        ear = start_ear(settings, stop)
        codes.judge(Judge(folder, folder.codes, ear, arguments.limit, stop))
        return
    with lock_for_stage(settings.folder, arguments.rank):
        if arguments.freeze:
            codes.freeze()
        else:
            limits = Limits(deadline(arguments.minutes), stop)
            codes.train(split_steps(settings.codes_steps), limits, is_compiled=settings.is_compiled)


@dataclass(frozen=True, slots=True)
class CodesStage:
    """One codec's encoder and quantizer in a training folder."""

    folder: TrainingFolder
    config: CodecConfig
    recipe: CodesRecipe
    world: World

    def train(self, plan: Plan, limits: Limits, *, is_compiled: bool) -> bool:
        """Trains up to the budget and freezes the result; returns False if a limit came first."""
        made_from = self._claim()
        trainee = self._trainee(plan.main_steps, is_compiled=is_compiled)
        is_done = train_to_budget(
            trainee,
            self.folder.codes,
            plan,
            made_from=made_from,
            num_warm_up_steps=self.recipe.num_warm_up_steps,
            world=self.world,
            limits=limits,
        )
        if is_done and self.world.is_main:
            check_not_in_use(self.folder)
            self._write(self.folder.encoder, trainee, made_from)
            logger.info("froze encoder and quantizer in %s", self.folder.encoder)
        return is_done

    def freeze(self) -> None:
        """Freezes the newest state. Raises `TrainingError` if nothing is trained yet."""
        check_not_in_use(self.folder)
        self._write_newest(self.folder.encoder)
        logger.info("froze encoder and quantizer in %s", self.folder.encoder)

    def judge(self, judge: Judge) -> Table | None:
        """Judges the frozen codes, or the newest ones as freezing would round them."""
        encoder, step = self.folder.encoder, newest_step(finished_folder(self.folder.codes))
        if not encoder.is_file():
            encoder = judge.work / encoder.name
            step = self._write_newest(encoder)
        judged = Judged(hash_file(encoder), step, read_info(encoder))
        return judge.judge(judged, codes_renderings(encoder))

    def _write_newest(self, encoder: Path) -> int:
        """Writes the newest state in half precision; returns its step."""
        made_from = self._claim()
        trainee = self._trainee(0, is_compiled=False)
        step = load_newest(trainee, finished_folder(self.folder.codes), made_from=made_from)
        if not step:
            raise TrainingError(f"{self.folder.codes} has no state: run the stage codes first")
        self._write(encoder, trainee, made_from)
        return step

    def _claim(self) -> str:
        """Returns the hash of what the codes are made from; refuses a folder of another one."""
        recipe = Recipe(
            "codes",
            {
                "speech": read_recipe_hash(self.folder.speech),
                "config": self.config.to_json(),
                "recipe": asdict(self.recipe),
            },
        )
        if self.world.is_main:
            claim(self.folder.codes, recipe)
        return recipe.hash

    def _trainee(self, main_steps: int, *, is_compiled: bool) -> CodesTrainee:
        restart_until = min(self.recipe.restart_until_step, int(main_steps * RESTART_SHARE))
        speech = self.folder.speech
        return CodesTrainee(
            self.config,
            replace(self.recipe, restart_until_step=restart_until),
            SpeechSegments(speech, made_from=read_recipe_hash(speech)),
            self.world,
            is_compiled=is_compiled,
            device=best_device(),
        )

    def _write(self, encoder: Path, trainee: CodesTrainee, made_from: str) -> None:
        """Writes encoder and quantizer, and the mel head beside them."""
        info = {"made_from": made_from}
        write_mel_head(encoder.with_name(MEL_HEAD), self.config, trainee.mel_head, info)
        write_frozen(encoder, self.config, trainee.encoder, trainee.quantizer, info)


if __name__ == "__main__":
    run_stage(main)
