import os
import threading

import pytest

from embedding.audio.decoding import silence_decoder


def test_remarks_are_dropped_and_the_rest_is_passed_on(capfd) -> None:
    with silence_decoder():
        os.write(2, b"[src/libmpg123/layer3.c:1774] error: part2_3_length too large\n")
        os.write(2, b"Note: Illegal Audio-MPEG-Header\n")
        os.write(2, b"something else\n")
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == "something else\n"


def test_the_error_stream_is_back_after_an_error_and_after_nesting(capfd) -> None:
    try:
        with silence_decoder(), silence_decoder():
            os.write(2, b"inside\n")
            raise KeyError
    except KeyError:
        pass
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "inside\nafter\n"


def test_threads_may_share_it(capfd) -> None:
    def speak() -> None:
        for _ in range(50):
            with silence_decoder():
                os.write(2, b"word\n")

    threads = [threading.Thread(target=speak) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capfd.readouterr().err.count("word\n") == 200


@pytest.mark.slow
def test_decoding_an_mp3_from_the_middle_says_nothing(recording, capfd) -> None:
    from embedding.audio.config import SnippetConfig
    from embedding.audio.snippets import load_snippets

    path = recording("song.mp3", seconds=30)
    load_snippets(path, SnippetConfig(count=5), 22050)
    assert capfd.readouterr() == ("", "")
