"""Signals that are held back, and SIGTERM as an exception."""

import signal
import threading

import pytest

from src.host.signals import Terminated, held_back, raise_on_sigterm


@pytest.fixture(autouse=True)
def handlers_restored():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_waits_for_the_end_of_the_block(number, kind):
    raise_on_sigterm()
    done = []
    with pytest.raises(kind) as caught, held_back():
        signal.raise_signal(number)
        signal.raise_signal(number)
        done.append(1)
    assert done == [1] and caught.type is kind


def test_without_a_signal_the_handlers_are_as_before():
    raise_on_sigterm()
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with held_back():
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_blocks_own_error_wins():
    with pytest.raises(ZeroDivisionError), held_back():
        signal.raise_signal(signal.SIGINT)
        raise ZeroDivisionError


def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with held_back():
        signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_another_thread_can_use_it():
    done = []

    def work():
        with held_back():
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]
