from tests.training.codec.conftest import one_thread as one_thread
