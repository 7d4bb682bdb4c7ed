// OpenAI's SDK for Node: `openai_sdk.mjs URL KEY TEXT...` prints what its calls give.
import OpenAI from "openai";

const [url, key, ...texts] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0 });

async function speak(text) {
  try {
    const answer = await client.audio.speech.create({ model: "tts-1", voice: "alloy", input: text });
    const audio = Buffer.from(await answer.arrayBuffer()).toString("base64");
    return { audio, error: null };
  } catch (error) {
    return { audio: "", error: error.constructor.name };
  }
}

async function errorOf(call) {
  try {
    await call();
  } catch (error) {
    return [error.constructor.name, error.status, error.code];
  }
  return ["none", 200, null];
}

async function finalOfStream(text) {
  const stream = client.chat.completions.stream({
    model: "gpt-audio",
    modalities: ["text", "audio"],
    audio: { voice: "alloy", format: "pcm16" },
    messages: [{ role: "user", content: text }],
  });
  const { audio } = (await stream.finalChatCompletion()).choices[0].message;
  return { audio: audio.data, transcript: audio.transcript };
}

const models = [];
for await (const model of client.models.list()) models.push(model.id);
const spoken = [];
for (const text of texts) spoken.push(await speak(text));
const errors = {
  voice: await errorOf(() => client.audio.speech.create({ model: "tts-1", voice: "nobody", input: "Hi." })),
  model: await errorOf(() =>
    client.chat.completions.create({ model: "unknown", messages: [{ role: "user", content: "Hi." }] }),
  ),
  blank: await errorOf(() => client.audio.speech.create({ model: "tts-1", voice: "alloy", input: " " })),
  key: await errorOf(() => new OpenAI({ baseURL: url, apiKey: "sk-wrong", maxRetries: 0 }).models.list()),
};
const final = await finalOfStream(texts[0]);
console.log(JSON.stringify({ models, spoken, final, errors }));
