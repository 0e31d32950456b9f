"""What is remembered, how much of it, and what goes first."""

from mintage.concurrency.bounded_memory import BoundedMemory


def test_the_one_written_longest_ago_goes_first() -> None:
    memory: BoundedMemory[str, int] = BoundedMemory(3)
    for number, key in enumerate("abcd"):
        memory[key] = number
    assert dict(memory) == {"b": 1, "c": 2, "d": 3}


def test_writing_again_makes_an_entry_the_newest_and_takes_no_room() -> None:
    memory: BoundedMemory[str, int] = BoundedMemory(2)
    memory["a"] = memory["b"] = 1
    memory["a"] = 2
    assert memory == {"b": 1, "a": 2}
    memory["c"] = 3
    assert dict(memory) == {"a": 2, "c": 3}


def test_reading_alone_keeps_nothing_alive() -> None:
    memory: BoundedMemory[str, int] = BoundedMemory(2)
    memory["a"] = memory["b"] = 1
    assert memory.get("a") == memory["a"] == 1
    memory["c"] = 3
    assert "a" not in memory


def test_a_reader_that_moves_an_entry_to_the_end_keeps_it() -> None:
    memory: BoundedMemory[str, int] = BoundedMemory(2)
    memory["a"] = memory["b"] = 1
    memory.move_to_end("a")
    memory["c"] = 3
    assert set(memory) == {"a", "c"}


def test_every_way_of_writing_keeps_the_bound() -> None:
    memory: BoundedMemory[str, int] = BoundedMemory(2)
    memory.update(dict.fromkeys("abcde", 1))
    memory.setdefault("f", 2)
    memory |= {"g": 3}
    assert dict(memory) == {"f": 2, "g": 3}
