"""The driver of i-PI against a small server of its protocol, which is here, and against i-PI where it is installed."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from places import ROOT
from silicon_committee import make_model
from systems import silicon

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import make_system, volume
from mdnnp.atoms.write import write_structures
from mdnnp.base.errors import DisagreementWarning, ExtrapolationWarning, FileError, InputError, PhysicsError
from mdnnp.base.units import BOHR_A, HARTREE_EV
from mdnnp.command.cli import main
from mdnnp.couplings import ipi as coupling
from mdnnp.couplings import ipi_pes
from mdnnp.couplings.ipi import Evaluator, drive, tcp_server, unix_server
from mdnnp.potentials.committee import Committee
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.potentials.lennard_jones import LennardJones

ARGON = LennardJones({"Ar": (0.0103, 3.4)}, 7.0, "poly3")
ARGON_TOML = """\
kind = "lennard-jones"
cutoff_A = 7.0
smoothing = "poly3"
[elements.Ar]
epsilon_eV = 0.0103
sigma_A = 3.4
"""
EV_A = HARTREE_EV / BOHR_A


def argon(seed=1):
    """27 atoms of a disordered crystal in a triclinic cell, upper triangular as i-PI has it."""
    cell = np.array([[11.0, 0.0, 0.0], [1.0, 11.5, 0.0], [-0.7, 0.6, 12.0]])
    sites = np.stack(np.meshgrid(*[np.arange(3) / 3] * 3, indexing="ij"), -1).reshape(-1, 3)
    positions = sites @ cell + np.random.default_rng(seed).normal(0, 0.15, (27, 3))
    return make_system(positions, [18] * 27, cell, True)


def template(system, label="a.xyz:0"):
    return Structure(system, np.full(len(system), 39.948), label=label)


class IPI:
    """A server as i-PI is: one client, asked as the protocol of i-PI says."""

    def __init__(self, listener):
        listener.settimeout(20)
        self.socket, _ = listener.accept()
        self.socket.settimeout(20)

    def send(self, header, *data):
        parts = [part.tobytes() if hasattr(part, "tobytes") else part for part in data]
        self.socket.sendall(header.encode().ljust(12) + b"".join(parts))

    def receive(self, dtype, n=1):
        size = np.dtype(dtype).itemsize * n
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            assert part, "the driver has gone"
            data += part
        return np.frombuffer(data, dtype)

    def status(self):
        self.send("STATUS")
        return self.receive("S12")[0].decode().strip()

    def begin(self, text="nothing"):
        assert self.status() == "NEEDINIT"
        self.send("INIT", np.int32(0), np.int32(len(text)), text.encode())
        assert self.status() == "READY"

    def positions(self, system):
        cell = system.cell.T / BOHR_A
        self.send("POSDATA", cell, np.linalg.inv(cell), np.int32(len(system)), system.positions / BOHR_A)

    def forces(self, system):
        """What the driver answers, in eV and Å."""
        self.positions(system)
        assert self.status() == "HAVEDATA"
        return self.answer()

    def answer(self):
        self.send("GETFORCE")
        assert self.receive("S12")[0].decode().strip() == "FORCEREADY"
        energy = self.receive(float)[0] * HARTREE_EV
        n = self.receive(np.int32)[0]
        forces = self.receive(float, 3 * n).reshape(n, 3) * EV_A
        virial = self.receive(float, 9).reshape(3, 3) * HARTREE_EV
        return energy, forces, virial, json.loads(self.receive("S1", self.receive(np.int32)[0]).tobytes())

    def exit(self):
        self.send("EXIT")
        self.socket.close()


@pytest.fixture(params=["unix", "tcp"])
def listener(request, tmp_path):
    """A socket that listens, and the `Server` of its address."""
    if request.param == "unix":
        one = socket.socket(socket.AF_UNIX)
        one.bind(str(tmp_path / "socket"))
        server = unix_server(str(tmp_path / "socket"))
    else:
        one = socket.socket(socket.AF_INET)
        one.bind(("127.0.0.1", 0))
        server = tcp_server(f"localhost:{one.getsockname()[1]}")
    one.listen(4)
    with one:
        yield one, server


class InThread:
    """A function in a thread: its result or error."""

    def __init__(self, function, *args):
        self._thread = threading.Thread(target=self._run, args=(function, *args), daemon=True)
        self.result = self.error = None
        self._thread.start()

    def _run(self, function, *args):
        try:
            self.result = function(*args)
        except Exception as error:
            self.error = error

    def ended(self):
        self._thread.join(20)
        assert not self._thread.is_alive(), "it hangs"
        return self.error or self.result


def driver(server, system=None, wait_s=10.0, said=None):
    evaluate = Evaluator(ARGON, template(system or argon()))
    return InThread(drive, server, evaluate, wait_s, (said if said is not None else []).append)


def same(found, system, potential=ARGON):
    expected = potential.compute(system)
    energy, forces, virial = found[:3]
    assert energy == pytest.approx(expected.energy, rel=1e-13)
    assert np.allclose(forces, expected.forces, rtol=0, atol=1e-12 * np.abs(expected.forces).max())
    assert np.allclose(virial, -volume(system.cell) * expected.stress(system), rtol=0, atol=1e-12)


# what it answers


def test_answers_energy_forces_and_virial(listener):
    accept, server = listener
    said = []
    running = driver(server, said=said)
    ipi = IPI(accept)
    ipi.begin()
    for seed in (1, 2, 1):
        found = ipi.forces(argon(seed))
        same(found, argon(seed))
        assert found[3] == {"extrapolations": 0} and ipi.status() == "READY"
    ipi.exit()
    done = running.ended()
    assert (done.evaluations, done.exit_code, done.reconnections) == (3, 0, 0)
    assert said == [f"Connected to i-PI at {server}"] and "3 evaluations" in done.text()


def test_positions_and_the_call_for_forces_may_come_together(listener):
    accept, server = listener
    running = driver(server)
    ipi = IPI(accept)
    ipi.begin()
    system = argon(3)
    ipi.positions(system)
    same(ipi.answer(), system)
    ipi.exit()
    assert running.ended().evaluations == 1


def test_virial_is_minus_the_strain_derivative_of_the_energy():
    system, evaluate = argon(), Evaluator(ARGON, template(argon()))
    cell, positions = system.cell.T / BOHR_A, system.positions / BOHR_A
    virial = evaluate(cell, positions)[2]
    for a, b in ((0, 0), (1, 2)):
        strain = np.zeros((3, 3))
        strain[a, b] = 1e-5
        up, down = (evaluate(f @ cell, positions @ f.T)[0] for f in (np.eye(3) + strain, np.eye(3) - strain))
        assert virial[a, b] == pytest.approx(-(up - down) / 2e-5, rel=1e-6, abs=1e-9)


def test_beads_need_no_new_lists():
    evaluate = Evaluator(ARGON, template(argon()))
    for _ in range(3):
        for seed in range(32):
            system = argon(seed)
            evaluate(system.cell.T / BOHR_A, system.positions / BOHR_A)
    assert evaluate.evaluations == 96 and evaluate.n_builds <= 32


def test_extras_and_warnings_of_a_committee():
    system = silicon()
    committee = Committee([HDNNP(make_model(seed)) for seed in (1, 2)])
    evaluate = Evaluator(committee, template(system))
    close = system._replace(positions=0.8 * system.positions, cell=0.8 * system.cell)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for one in (close, close):
            extras = json.loads(evaluate(one.cell.T / BOHR_A, one.positions / BOHR_A)[3])
    expected = committee.compute(close)
    assert extras["extrapolations"] == expected.extrapolation.count > 0
    assert extras["forces_disagreement_eV_A"] == pytest.approx(expected.disagreement.forces.tolist(), rel=1e-6)
    assert extras["energy_disagreement_eV_per_atom"] == pytest.approx(expected.disagreement.energy, rel=1e-6)
    kinds = [one.category for one in caught]
    assert kinds.count(ExtrapolationWarning) == 1 and kinds.count(DisagreementWarning) <= 1
    assert evaluate.extrapolations == 2 * extras["extrapolations"]


def test_open_boundaries():
    cluster = make_system([[0.0, 0.0, 0.0], [3.9, 0.0, 0.0]], [18, 18])
    with pytest.raises(InputError, match=r"a\.xyz:0: the template has no periodic cell.*--boundaries"):
        Evaluator(ARGON, template(cluster))
    cell = np.diag([4.5, 20.0, 20.0])
    for boundaries, pbc in (("open", False), ("periodic", True)):
        energy = Evaluator(ARGON, template(cluster), boundaries)(cell / BOHR_A, cluster.positions / BOHR_A)[0]
        expected = ARGON.compute(make_system(cluster.positions, [18, 18], cell, pbc)).energy
        assert energy * HARTREE_EV == pytest.approx(expected, rel=1e-12)


# what goes wrong


def test_waits_for_the_server(tmp_path):
    said = []
    running = driver(unix_server(str(tmp_path / "late")), said=said)
    time.sleep(0.3)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "late"))
        one.listen()
        ipi = IPI(one)
        ipi.begin()
        ipi.exit()
        assert running.ended().evaluations == 0
    assert said[0].startswith("Waiting 10 s for i-PI at") and len(said) == 2


@pytest.mark.parametrize("server", [unix_server("nobody-is-here"), tcp_server("localhost:1")])
def test_no_server(server):
    error = driver(server, wait_s=0.3).ended()
    assert isinstance(error, FileError) and "no i-PI listens there after 0.3 s" in str(error)


def test_socket_that_a_killed_server_left(tmp_path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "left"))
    error = driver(unix_server(str(tmp_path / "left")), wait_s=0.3).ended()
    assert isinstance(error, FileError) and "refused" in str(error)


def test_connects_again_to_a_server_that_comes_back(listener):
    accept, server = listener
    said = []
    running = driver(server, said=said)
    ipi = IPI(accept)
    ipi.begin()
    ipi.forces(argon(1))
    ipi.socket.close()
    ipi = IPI(accept)
    ipi.begin()
    same(ipi.forces(argon(2)), argon(2))
    ipi.exit()
    done = running.ended()
    assert (done.evaluations, done.reconnections) == (2, 1)
    assert "closed the connection" in said[1]


def test_server_that_does_not_come_back(listener):
    accept, server = listener
    running = driver(server, wait_s=0.5)
    ipi = IPI(accept)
    ipi.begin()
    ipi.positions(argon(1))
    ipi.socket.close()
    accept.close()
    error = running.ended()
    assert isinstance(error, FileError) and "gone without EXIT after 1 evaluations" in str(error)


def test_server_that_drops_every_connection(listener):
    accept, server = listener
    running = driver(server, wait_s=1.0)
    end = time.monotonic() + 2.5
    accept.settimeout(0.1)
    while time.monotonic() < end and running.error is None:
        with contextlib.suppress(TimeoutError):
            accept.accept()[0].close()
    accept.close()
    assert isinstance(running.ended(), FileError)


def test_exit_that_comes_with_the_end_of_the_connection(listener):
    accept, server = listener
    running = driver(server)
    ipi = IPI(accept)
    ipi.send("STATUS")
    ipi.exit()
    assert running.ended().exit_code == 0


def test_silent_server(listener):
    accept, server = listener
    running = driver(server, wait_s=0.3)
    IPI(accept)
    assert "no message in 0.3 s" in str(running.ended())


def test_message_without_an_end(listener, monkeypatch):
    monkeypatch.setattr(coupling, "MESSAGE_S", 0.3)
    accept, server = listener
    running = driver(server)
    ipi = IPI(accept)
    ipi.begin()
    ipi.send("POSDATA", np.zeros(4))
    assert "middle of a message" in str(running.ended())


def test_another_program_listens(listener):
    accept, server = listener
    running = driver(server)
    IPI(accept).socket.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
    error = running.ended()
    assert isinstance(error, InputError) and "'SSH-2.0-Open' is none of i-PI's" in str(error)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda ipi: ipi.begin("batch_size:4"), "<batch_size> is 4"),
        (lambda ipi: ipi.send("INIT", np.int32(0), np.int32(-1)), "text of -1 bytes"),
        (lambda ipi: ipi.send("GETFORCE"), "GETFORCE without POSDATA"),
        (lambda ipi: ipi.positions(silicon()), r"i-PI sends 8 atoms, but the template a.xyz:0 has 27"),
        (lambda ipi: ipi.positions(argon()._replace(positions=np.full((27, 3), np.nan))), "not a finite number"),
    ],
)
def test_what_cannot_be_answered(listener, ask, message):
    accept, server = listener
    running = driver(server)
    ipi = IPI(accept)
    with contextlib.suppress(AssertionError, OSError):  # the driver has gone
        ask(ipi)
    error = running.ended()
    assert isinstance(error, InputError) and message in str(error)


def test_atoms_at_one_place(listener):
    accept, server = listener
    running = driver(server)
    ipi = IPI(accept)
    ipi.begin()
    ipi.positions(argon()._replace(positions=np.zeros((27, 3))))
    error = running.ended()
    assert isinstance(error, InputError | PhysicsError) and "evaluation 1 for i-PI" in str(error)


def test_template_with_an_element_that_the_potential_lacks():
    with pytest.raises(InputError, match=r"si\.xyz:0: atom 0 is Si, but the potential is for Ar"):
        Evaluator(ARGON, template(silicon(), "si.xyz:0"))


def test_an_error_ends_the_connection_without_resetting_it(listener):
    """i-PI 3.3.1 hangs at a reset, which is what a socket does that is closed before all is read."""
    accept, server = listener
    running = driver(server)
    ipi = IPI(accept)
    ipi.begin()
    ipi.positions(argon()._replace(positions=np.zeros((270, 3)), numbers=np.full(270, 18)))
    assert ipi.socket.recv(12) == b""
    ipi.socket.close()
    assert "270 atoms" in str(running.ended())


@pytest.mark.parametrize("text", ["31415", "localhost:", ":31415", "localhost:70000", "localhost:port"])
def test_addresses(text):
    with pytest.raises(InputError, match="HOST:PORT"):
        tcp_server(text)


def test_names_of_unix_sockets():
    assert str(unix_server("water")) == "/tmp/ipi_water" and str(unix_server("/run/w")) == "/run/w"
    assert str(unix_server("w", "/run/x_")) == "/run/x_w"
    with pytest.raises(FileError, match="too long"):
        drive(unix_server("w" * 300), Evaluator(ARGON, template(argon())), 1.0, print)


# the verb and the file for i-PI


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a potential and a template, and with i-PI's own structure, in Bohr."""
    monkeypatch.chdir(tmp_path)
    Path("lj.toml").write_text(ARGON_TOML)
    system = argon()
    write_structures("a.xyz", [template(system)])
    a, b, c = system.cell / BOHR_A
    rows = "".join("Ar {:.17g} {:.17g} {:.17g}\n".format(*r) for r in system.positions / BOHR_A)
    h = " ".join(f"{x:.17g}" for x in np.column_stack((a, b, c)).ravel())
    Path("init.xyz").write_text(f"27\n# CELL(H): {h} cell{{atomic_unit}} positions{{atomic_unit}}\n{rows}")
    return tmp_path


def test_several_drivers_of_one_server(place):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(place / "socket"))
        one.listen()
        running = [start_driver(socket_file="socket") for _ in range(2)]
        try:
            servers = []
            for _ in running:
                servers.append(IPI(one))
                servers[-1].begin()
            for k, ipi in enumerate(servers):
                ipi.positions(argon(k))
            for k, ipi in enumerate(servers):
                same(ipi.answer(), argon(k))
                ipi.exit()
            outputs = [process.communicate(timeout=20)[0] for process in running]
        finally:
            for process in running:
                process.kill()
    assert [process.returncode for process in running] == [0, 0]
    assert all("i-PI has ended: 1 evaluations" in text for text in outputs)


def test_the_verb_refuses(place, capsys):
    assert main(["drive", "lj.toml", "--template", "a.xyz", "--unix", "x", "--wait", "-1"]) == 2
    assert main(["drive", "lj.toml", "--template", "a.xyz", "--tcp", "localhost:1", "--prefix", "x"]) == 2
    assert main(["drive", "lj.toml", "--template", "a.xyz"]) == 2
    assert main(["drive", "lj.toml", "--template", "none.xyz", "--unix", "x"]) == 4
    assert main(["drive", "lj.toml", "--template", "a.xyz", "--unix", "nobody-is-here", "--wait", "0.2"]) == 4
    assert "--wait must be positive" in capsys.readouterr().err


def test_the_file_for_ipi(place):
    system = argon(5)
    one = ipi_pes.MDNNPDriver(potential="lj.toml", template="a.xyz", threads=1, verbosity="of i-PI")
    energy, forces, virial, _ = one(system.cell.T / BOHR_A, system.positions / BOHR_A)
    same((energy * HARTREE_EV, forces * EV_A, virial * HARTREE_EV), system)
    (batch,) = one([system.cell.T / BOHR_A], [system.positions / BOHR_A])
    assert batch[0] == energy
    with pytest.raises(InputError, match="parameters potential and template"):
        ipi_pes.MDNNPDriver(potential="lj.toml")
    with pytest.raises(InputError, match="unknown parameter 'pbc'"):
        ipi_pes.MDNNPDriver(potential="lj.toml", template="a.xyz", pbc="yes")


# i-PI itself

needs_ipi = pytest.mark.skipif(importlib.util.find_spec("ipi") is None, reason="i-PI is not installed")
RUN_IPI = (
    "import sys; from ipi.engine.simulation import Simulation; from ipi.utils.softexit import softexit\n"
    "s = Simulation.load_from_xml(open('input.xml'), request_banner=False, sockets_prefix='')\n"
    "s.run(); softexit.trigger(status='success')"
)
SOCKET = "<ffsocket name='nn' mode='unix' pbc='false'><address>{0}/s</address>{1}</ffsocket>"
DIRECT = (
    "<ffdirect name='nn' pbc='false'><pes>custom</pes><pes_path>{0}</pes_path>"
    "<parameters>{{potential: lj.toml, template: {1}, threads: 1}}</parameters></ffdirect>"
)


def run_ipi(forces, steps=3, beads=2, whole=False):
    """Start i-PI in this folder, with these forces or this whole input; returns its process."""
    around = f"""<simulation verbosity='low'>
  <output prefix='out'>
    <properties stride='1' filename='md'> [step, potential, virial_md, conserved] </properties>
    <trajectory stride='1' filename='pos' format='xyz'> positions </trajectory>
    <trajectory stride='1' filename='for' format='xyz'> forces </trajectory>
  </output>
  <total_steps>{steps}</total_steps>
  <prng><seed>1</seed></prng>
  {forces}
  <system>
    <initialize nbeads='{beads}'>
      <file mode='xyz' units='atomic_unit'>init.xyz</file>
      <velocities mode='thermal' units='kelvin'> 60 </velocities>
    </initialize>
    <forces><force forcefield='nn'/></forces>
    <ensemble><temperature units='kelvin'>60</temperature></ensemble>
    <motion mode='dynamics'><dynamics mode='nve'><timestep units='femtosecond'>1.0</timestep></dynamics></motion>
  </system>
</simulation>"""
    Path("input.xml").write_text(forces if whole else around)
    paths = os.pathsep.join([str(ROOT), str(Path(importlib.util.find_spec("ipi").origin).parents[1])])
    return subprocess.Popen(
        [sys.executable, "-c", RUN_IPI],
        env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def start_driver(*options, template_file="a.xyz", socket_file="s"):
    return subprocess.Popen(
        [
            sys.executable, "-m", "mdnnp", "drive", "lj.toml", "--template", template_file,
            "--unix", str(Path.cwd() / socket_file), "--threads", "1", *options,
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finished(process, seconds=60):
    """Its output; fails if it does not end."""
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"it hangs: {process.communicate()[0][-2000:]}") from None


@needs_ipi
@pytest.mark.parametrize("route", ["socket", "direct"])
def test_ipi_gets_what_predict_gives(place, route):
    force = SOCKET.format(place, "") if route == "socket" else DIRECT.format(ipi_pes.__file__, "init.xyz")
    server = run_ipi(force, beads=1)
    client = start_driver() if route == "socket" else None
    text = finished(server)
    if client is not None:
        assert "i-PI has ended: 4 evaluations" in finished(client) and client.returncode == 0
    rows = np.loadtxt("out.md")
    assert len(rows) == 4, text
    expected = ARGON.compute(argon())
    stress = -expected.virial[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]] / volume(argon().cell)
    lines = Path("out.for_0.xyz").read_text().splitlines()[2:29]
    forces = EV_A * np.array([line.split()[1:] for line in lines], float)
    assert rows[0, 1] * HARTREE_EV == pytest.approx(expected.energy, rel=1e-7)  # it prints 8 digits, of forces 6
    assert np.allclose(forces, expected.forces, rtol=0, atol=1e-5 * np.abs(expected.forces).max())
    assert np.allclose(-rows[0, 2:8] * HARTREE_EV / BOHR_A**3, stress, rtol=0, atol=1e-6 * np.abs(stress).max())
    assert np.ptp(rows[:, 8]) < 1e-2 * np.ptp(rows[:, 1])


@needs_ipi
def test_ipi_ends_where_its_own_process_cannot_compute(place):
    Path("few.xyz").write_text('1\nLattice="9 0 0 0 9 0 0 0 9" pbc="T T T"\nAr 0 0 0\n')
    server = run_ipi(DIRECT.format(ipi_pes.__file__, "few.xyz"))
    assert "i-PI sends 27 atoms, but the template few.xyz" in finished(server)


@needs_ipi
def test_ipi_ends_with_its_driver_if_told_to(place):
    Path("few.xyz").write_text('1\nLattice="9 0 0 0 9 0 0 0 9" pbc="T T T"\nAr 0 0 0\n')
    server = run_ipi(SOCKET.format(place, "<exit_on_disconnect>True</exit_on_disconnect>"))
    client = start_driver(template_file="few.xyz")
    assert "i-PI sends 27 atoms" in finished(client) and client.returncode == 2
    assert "Client shutdown" in finished(server)


@needs_ipi
def test_ipi_ends_with_its_driver_that_is_terminated(place):
    server = run_ipi(SOCKET.format(place, "<exit_on_disconnect>True</exit_on_disconnect>"), steps=1000000)
    client = start_driver()
    try:
        assert within(30, lambda: Path("out.md").exists() and len(Path("out.md").read_text().splitlines()) > 20)
        client.terminate()
        assert "ended by SIGTERM" in finished(client) and client.returncode == 143
        assert "Client shutdown" in finished(server)
    finally:
        for process in (server, client):
            process.kill()
            process.communicate()


@needs_ipi
def test_the_example(place, monkeypatch):
    shutil.copytree(ROOT / "inputs", place / "inputs")
    monkeypatch.chdir(place / "inputs" / "ipi")
    text = Path("argon.xml").read_text().replace("PES", ipi_pes.__file__)
    output = finished(run_ipi(text.replace("<total_steps>1000<", "<total_steps>10<"), whole=True))
    assert len(np.loadtxt("argon.out")) == 2, output


@needs_ipi
def test_driver_ends_when_ipi_is_killed(place):
    server = run_ipi(SOCKET.format(place, ""), steps=1000000)
    client = start_driver("--wait", "5")
    try:
        assert within(30, lambda: Path("out.md").exists() and len(Path("out.md").read_text().splitlines()) > 20)
        os.kill(server.pid, signal.SIGKILL)
        assert "i-PI has gone without EXIT after" in finished(client, 30) and client.returncode == 4
    finally:
        server.kill()
        client.kill()
        server.communicate()


@needs_ipi
def test_ipi_goes_on_with_another_driver_when_one_is_killed(place):
    server = run_ipi(SOCKET.format(place, "<consolidate_messages>False</consolidate_messages>"), steps=300)
    clients = [start_driver() for _ in range(2)]
    try:
        assert within(30, lambda: Path("out.md").exists() and len(Path("out.md").read_text().splitlines()) > 20)
        os.kill(clients[0].pid, signal.SIGKILL)
        finished(server)
        assert "i-PI has ended" in finished(clients[1]) and len(np.loadtxt("out.md")) == 301
    finally:
        for process in (server, *clients):
            process.kill()
            process.communicate()


def within(seconds, happens):
    """Whether it happens in that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if happens():
            return True
        time.sleep(0.05)
    return False
