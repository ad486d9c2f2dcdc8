"""The guard: what is let through, what is refused, and that libraries live with it."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

import pytest

from mllint_bio.observe.job import Permissions, Status
from tests.observe.programs import execute

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is tested on Linux")


def test_writing_inside_the_copy_and_the_temporary_folder(tmp_path: Path) -> None:
    """Relative paths, TMPDIR, /dev/null and folders that exist already are no matter."""
    program = """
        import os, pathlib, shutil, sqlite3, tempfile
        os.makedirs('out/figures', exist_ok=True)
        pathlib.Path('out/x.txt').write_text('x')
        os.rename('out/x.txt', 'out/y.txt')
        os.symlink('y.txt', 'out/link')
        shutil.copytree('out', 'copy')
        shutil.rmtree('out')
        with tempfile.TemporaryDirectory() as folder, open(os.path.join(folder, 'a'), 'w') as file:
            file.write('a')
        sqlite3.connect('runs.db').execute('create table t (x)')
        open(os.devnull, 'w').write('x')
        os.makedirs(os.path.expanduser('~'), exist_ok=True)
        pathlib.Path('/').mkdir(exist_ok=True)
        try:
            os.remove('/nothing/there')
        except FileNotFoundError:
            print('as usual')
    """
    outcome = execute(tmp_path, program)
    assert (outcome.status, outcome.reason, outcome.refusals) == (Status.FINISHED, "", ())
    assert outcome.output == "as usual\n"
    assert [path.name for path in tmp_path.iterdir()] == ["train.py"]


def test_a_folder_can_be_allowed(tmp_path: Path) -> None:
    """`--allow-write` opens one folder and nothing beside it."""
    project, results, other = (tmp_path / name for name in ("project", "results", "results2"))
    for folder in (project, results, other):
        folder.mkdir()
    program = f"open('{results}/x', 'w').write('1')\nopen('{other}/x', 'w').write('1')\n"
    outcome = execute(project, program, permissions=Permissions(write=(str(results),)))
    assert (outcome.status, outcome.line) == (Status.REFUSED, 2)
    assert (results / "x").read_text() == "1"
    assert not (other / "x").exists()


def test_the_site_of_a_refusal_is_the_user_s_innermost_line(tmp_path: Path) -> None:
    """A refusal deep in a library is told at the user's call, in the file that makes it."""
    (tmp_path / "helper.py").write_text("import shutil\n\ndef save(a, b):\n    shutil.copy(a, b)\n")
    outcome = execute(tmp_path, f"import helper\nhelper.save('train.py', '{tmp_path}/copy.py')\n")
    (refusal,) = outcome.refusals
    assert (refusal.path, refusal.line) == ("helper.py", 4)
    assert outcome.reason.endswith("at helper.py:4")


def test_refusals_of_forked_and_spawned_workers_count(tmp_path: Path) -> None:
    """Worker processes of `multiprocessing` run, under guard, whatever the start method."""
    program = f"""
        import multiprocessing, sys

        def work(number):
            try:
                open('{tmp_path}/' + multiprocessing.get_start_method(), 'w')
            except PermissionError:
                return number * 2

        if __name__ == '__main__':
            multiprocessing.set_start_method(sys.argv[1])
            with multiprocessing.Pool(2) as pool:
                print(pool.map(work, range(3)))
    """
    for method in ("fork", "spawn", "forkserver"):
        outcome = execute(tmp_path, program, method)
        assert outcome.status is Status.FINISHED, outcome.output
        assert outcome.output == "[0, 2, 4]\n", method
        (refusal,) = outcome.refusals
        assert (refusal.what, refusal.path, refusal.line) == (f"writing {tmp_path}/{method}", "train.py", 5), method


def test_forked_workers_end_by_the_signal_itself(tmp_path: Path) -> None:
    """A handler of ours in a worker that waits for a semaphore could miss the signal; the program's own handler stays."""
    program = """
        import multiprocessing, signal

        def handler(_=None):
            return str(signal.getsignal(signal.SIGTERM))

        def own(number, frame):
            pass

        multiprocessing.set_start_method("fork")
        with multiprocessing.Pool(1) as pool:
            print(pool.map(handler, [0])[0] == str(signal.SIG_DFL))
        signal.signal(signal.SIGTERM, own)
        reader, writer = multiprocessing.Pipe()
        worker = multiprocessing.Process(target=lambda: writer.send(handler() == str(own)))
        worker.start()
        print(reader.recv())
        worker.join()
    """
    outcome = execute(tmp_path, program)
    assert (outcome.status, outcome.output) == (Status.FINISHED, "True\nTrue\n"), outcome.output


def test_shared_memory_and_local_sockets_of_the_run(tmp_path: Path) -> None:
    """Shared memory and a server on this machine that the run itself opened work."""
    program = """
        import socket, threading
        from multiprocessing import shared_memory
        block = shared_memory.SharedMemory(create=True, size=10)
        block.close(); block.unlink()
        listener = socket.socket()
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        threading.Thread(target=lambda: listener.accept()[0].sendall(b'hello')).start()
        with socket.create_connection(('localhost', listener.getsockname()[1])) as connection:
            print(connection.recv(5))
    """
    outcome = execute(tmp_path, program)
    assert outcome.output == "b'hello'\n"
    assert outcome.refusals == ()


def test_other_servers_of_this_machine_are_network(tmp_path: Path) -> None:
    """A database that listens on this machine is not the run's own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        accepted = threading.Thread(target=lambda: listener.accept())
        program = f"import socket\nsocket.create_connection(('127.0.0.1', {port}))\n"
        outcome = execute(tmp_path, program)
        assert outcome.status is Status.REFUSED
        assert outcome.refusals[0].what == f"connecting to 127.0.0.1:{port}"
        accepted.start()
        assert execute(tmp_path, program, permissions=Permissions(network=True)).status is Status.FINISHED
        accepted.join()


def test_signals_to_others_are_refused(tmp_path: Path) -> None:
    """A program may end itself and its workers, nobody else."""
    program = """
        import multiprocessing, os, signal, time
        worker = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))
        worker.start()
        worker.kill()
        worker.join()
        print(worker.exitcode)
        os.kill(1, 0)
        os.kill(os.getppid(), signal.SIGTERM)
    """
    outcome = execute(tmp_path, program)
    assert outcome.output.splitlines()[0] == "-9"
    assert (outcome.status, outcome.line) == (Status.REFUSED, 8)


def test_libraries_import_and_train(tmp_path: Path) -> None:
    """torch, scikit-learn, pandas and matplotlib work under guard, and what they ask of the system on the way is not told."""
    for name in ("torch", "sklearn", "pandas", "matplotlib"):
        pytest.importorskip(name)
    program = """
        import warnings
        warnings.simplefilter('ignore')
        import torch, pandas, matplotlib.pyplot as plt
        from sklearn.datasets import load_breast_cancer
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.model_selection import GridSearchCV
        from torch.utils.data import DataLoader, TensorDataset
        X, y = load_breast_cancer(return_X_y=True)
        search = GridSearchCV(RandomForestClassifier(5, n_jobs=-1), {'max_depth': [2, 3]}, n_jobs=-1, cv=2).fit(X, y)
        data = TensorDataset(torch.tensor(X), torch.tensor(y))
        print(sum(len(batch) for batch, _ in DataLoader(data, 100, num_workers=2)))
        pandas.DataFrame(X).to_csv('x.csv')
        plt.plot([1, 2])
        plt.savefig('figure.png')
        torch.save(torch.zeros(2), 'model.pt')
        print('saved')
    """
    outcome = execute(tmp_path, program)
    assert outcome.status is Status.FINISHED, outcome.output
    assert outcome.output.split() == ["569", "saved"]
    assert outcome.refusals == ()
    assert {"torch", "scikit-learn", "pandas", "python"} <= outcome.versions.keys()
