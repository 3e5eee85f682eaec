"""i-PI: our potentials as its force provider, in its own process or at the other end of a socket.

i-PI speaks atomic units (Hartree, Bohr), whose values here are those of CODATA (`mdnnp.base.units`). It names no
elements: a template has those. Protocol: V. Kapil et al., Comput. Phys. Commun. 236, 214 (2019), and the manual,
https://docs.ipi-code.org/distributed.html
"""

import contextlib
import json
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from mdnnp.atoms.alternating_lists import AlternatingLists
from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import make_system
from mdnnp.base.errors import FileError, InputError, Interrupted, MdnnpWarning, PhysicsError, quoted
from mdnnp.base.units import BOHR_A, HARTREE_EV
from mdnnp.couplings.doubts import doubts
from mdnnp.potentials.interface import Potential, check_elements

Boundaries = Literal["periodic", "open"]
BOUNDARIES = ("periodic", "open")
UNIX_PREFIX = "/tmp/ipi_"  # of i-PI's unix sockets
MOST_LISTS = 32  # neighbour lists that are kept: one for each bead of most path integrals
SKIN_A = 1.0
WARN_ABOVE_EV_A = 0.2  # as the ASE calculator
MESSAGE_S = 60.0  # longest time that one message may take
RETRY_S = 0.2  # between two attempts to connect
LEAVE_S = 1.0  # to take what i-PI still sends, when an error ends the driver
_HEADER = 12  # bytes
_MOST_TEXT = 1 << 20  # bytes of INIT


class Evaluator:
    """Energy, forces and virial as i-PI wants them: a function of cell and positions, in atomic units.

    template : a structure with the same atoms in the same order: elements, total charge, and boundaries if it has a
        cell; boundaries : "periodic" or "open" (in all directions), where the template does not say, or instead
    evaluations, extrapolations : counts so far; n_builds : of neighbour lists, of which several are kept, so that beads
        do not need new ones
    Raises InputError for an element that the potential lacks, and if neither template nor `boundaries` say what is
    periodic. Warns once of extrapolation and disagreement.
    """

    def __init__(self, potential: Potential, template: Structure, boundaries: Boundaries | None = None):
        system = template.system
        if boundaries not in (None, *BOUNDARIES):
            raise InputError(f"boundaries must be one of {', '.join(BOUNDARIES)}, found {boundaries!r}")
        if boundaries is None and not system.pbc.any():
            raise InputError(
                f"{template.label}: the template has no periodic cell, but i-PI always has one: say whether its atoms "
                "have periodic images by boundaries = periodic or open (--boundaries)"
            )
        try:
            check_elements(potential, system.numbers)
        except InputError as error:
            raise InputError(f"{template.label}: {error}") from None
        self.potential = potential
        self.label, self.numbers, self.charge = template.label, system.numbers, system.charge
        self.pbc = system.pbc if boundaries is None else np.full(3, boundaries == "periodic")
        self.evaluations = self.extrapolations = 0
        self._lists = AlternatingLists(lambda: potential.make_lists(SKIN_A), MOST_LISTS)
        self._warned: set[type[MdnnpWarning]] = set()

    @property
    def n_builds(self) -> int:
        """How many neighbour lists were made."""
        return self._lists.n_builds

    def check_number(self, n_atoms: int) -> None:
        """Raise InputError unless the template has so many atoms."""
        if n_atoms != len(self.numbers):
            raise InputError(
                f"i-PI sends {n_atoms} atoms, but the template {self.label} has {len(self.numbers)}: it must have the "
                "atoms of i-PI's own structure, in the same order"
            )

    def __call__(self, cell: ArrayLike, positions: ArrayLike) -> tuple[float, np.ndarray, np.ndarray, str]:
        """Energy (Hartree), forces (N, 3) Hartree/Bohr, virial (3, 3) Hartree, and the extras, JSON.

        cell : (3, 3) Bohr, its vectors are the columns, as i-PI has them; positions : (N, 3) Bohr
        The virial is minus the strain derivative, symmetric. Extras: "extrapolations"; of charges "charges_e" (N,);
        of a committee "forces_disagreement_eV_A" (N,) and "energy_disagreement_eV_per_atom".
        Raises InputError and PhysicsError.
        """
        positions = np.asarray(positions, float).reshape(-1, 3)
        self.check_number(len(positions))
        vectors = BOHR_A * np.asarray(cell, float).T if self.pbc.any() else None
        system = make_system(BOHR_A * positions, self.numbers, vectors, self.pbc, self.charge, where="i-PI's atoms")
        results = self.potential.compute(system, self._lists.update(system))
        self.evaluations += 1
        self.extrapolations += results.extrapolation.count
        for kind, text in doubts(results, self.numbers, WARN_ABOVE_EV_A):
            if kind not in self._warned:
                self._warned.add(kind)
                where = f"evaluation {self.evaluations}: {text}"
                warnings.warn(
                    f"{where}. Are the atoms of {self.label} in i-PI's order? Later ones are in i-PI's extras alone",
                    kind, stacklevel=2,
                )  # fmt: skip
        extras: dict[str, object] = {"extrapolations": int(results.extrapolation.count)}
        if len(results.charges):
            extras["charges_e"] = results.charges.tolist()
        if results.disagreement is not None:
            extras["forces_disagreement_eV_A"] = results.disagreement.forces.tolist()
            extras["energy_disagreement_eV_per_atom"] = float(results.disagreement.energy)
        virial = (0.5 / HARTREE_EV) * (results.virial + results.virial.T)
        return results.energy / HARTREE_EV, (BOHR_A / HARTREE_EV) * results.forces, virial, json.dumps(extras)


@dataclass(frozen=True)
class Server:
    """Where i-PI listens. address : path of a unix socket, or host and port."""

    address: str | tuple[str, int]

    def __str__(self) -> str:
        return self.address if isinstance(self.address, str) else "{}:{}".format(*self.address)

    def open(self) -> socket.socket:
        """A connected socket. Raises OSError."""
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.settimeout(MESSAGE_S)
            opened.connect(self.address)
            if family == socket.AF_INET:
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # messages are short and wait for answers
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a machine that dies sends no end
        except BaseException:
            opened.close()
            raise
        return opened


def unix_server(name: str, prefix: str = UNIX_PREFIX) -> Server:
    """The server of a unix socket: <address> of i-PI's input, which puts `prefix` before it, or a whole path."""
    if not name:
        raise InputError("the name of the unix socket is empty: give <address> of i-PI's <ffsocket>")
    return Server(name if name.startswith("/") else prefix + name)


def tcp_server(text: str) -> Server:
    """The server of HOST:PORT. Raises InputError if it is not of this form."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"{quoted(text)} is not of the form HOST:PORT, such as localhost:31415")
    return Server((host, int(port)))


@dataclass(frozen=True)
class Driven:
    """What a driver did until i-PI sent EXIT."""

    evaluations: int
    neighbor_lists: int
    extrapolations: int
    reconnections: int
    exit_code: int = 0

    def text(self) -> str:
        """In a line."""
        again = f", {self.reconnections} reconnections" if self.reconnections else ""
        return (
            f"i-PI has ended: {self.evaluations} evaluations, {self.neighbor_lists} neighbour lists, "
            f"{self.extrapolations} extrapolations{again}"
        )

    def as_dict(self) -> dict:
        """The counts."""
        return asdict(self)


class _Gone(Exception):
    """The server has closed the connection."""


def drive(server: Server, evaluate: Evaluator, wait_s: float, say: Callable[[str], object]) -> Driven:
    """Answer i-PI until it sends EXIT.

    wait_s : how long the server may be away, at the start and later, and how long it may be silent at the start
    Raises FileError if it is away for longer, InputError if it is no i-PI or sends what cannot be used, Interrupted by
    SIGTERM, and what `evaluate` raises.
    """
    with _terminated_in_order():
        return _drive(server, evaluate, wait_s, say)


@contextlib.contextmanager
def _terminated_in_order() -> Iterator[None]:
    """SIGTERM raises Interrupted, so that the connection is ended in order."""

    def stop(number: int, frame: object) -> None:
        raise Interrupted("ended by SIGTERM", number)

    if threading.current_thread() is not threading.main_thread():  # signals are not for others
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _drive(server: Server, evaluate: Evaluator, wait_s: float, say: Callable[[str], object]) -> Driven:
    heard, reconnections = time.monotonic(), 0
    conversation = None
    while True:
        with _connect(server, evaluate, heard + wait_s, wait_s, say, again=conversation is not None) as opened:
            say(f"Connected to i-PI at {server}")
            conversation = _Conversation(server, opened, evaluate, wait_s)
            if conversation.ended():
                return Driven(evaluate.evaluations, evaluate.n_builds, evaluate.extrapolations, reconnections)
        heard = conversation.heard or heard
        reconnections += 1
        say(f"i-PI at {server} has closed the connection; trying again for {wait_s:g} s")
        time.sleep(RETRY_S)


def _connect(
    server: Server, evaluate: Evaluator, until: float, wait_s: float, say: Callable[[str], object], again: bool
) -> socket.socket:
    """A connection, tried until a time of the monotonic clock."""
    said = again
    while True:
        try:
            return server.open()
        except (PermissionError, socket.gaierror) as error:
            raise FileError(f"{server}: cannot connect: {error.strerror}") from None
        except OSError as error:
            if error.errno is None:  # such as a path that is too long
                raise FileError(f"{server}: cannot connect: {error}") from None
            reason = error.strerror
        if time.monotonic() >= until:
            if again:
                raise FileError(
                    f"{server}: i-PI has gone without EXIT after {evaluate.evaluations} evaluations, and did not come "
                    f"back in {wait_s:g} s ({reason}); look at its output"
                )
            raise FileError(
                f"{server}: no i-PI listens there after {wait_s:g} s ({reason}); start it, compare with <address> and "
                "<port> of its <ffsocket>, or wait longer with --wait"
            )
        if not said:
            say(f"Waiting {wait_s:g} s for i-PI at {server}")
            said = True
        time.sleep(RETRY_S)


class _Conversation:
    """One connection. heard : when the last message came, on the monotonic clock; None: never."""

    def __init__(self, server: Server, opened: socket.socket, evaluate: Evaluator, wait_s: float):
        self._server, self._socket, self._evaluate, self._wait_s = server, opened, evaluate, wait_s
        self.heard: float | None = None
        self._begun = False
        self._data: bytes | None = None

    def ended(self) -> bool:
        """Answer all messages; whether the last one was EXIT. Raises InputError, and what `evaluate` raises."""
        try:
            return self._answer_all()
        except BaseException:
            self._leave()
            raise

    def _answer_all(self) -> bool:
        try:
            while True:
                header = self._header()
                self.heard = time.monotonic()
                if header == "EXIT":
                    return True
                self._answer(header)
                self.heard = time.monotonic()
        except (_Gone, ConnectionError):
            return self._has_said_exit()

    def _answer(self, header: str) -> None:
        if header == "STATUS":
            self._send(b"NEEDINIT" if not self._begun else b"HAVEDATA" if self._data is not None else b"READY")
        elif header == "INIT":
            self._begin()
        elif header == "POSDATA":
            self._data = self._compute()
        elif header == "GETFORCE":
            if self._data is None:
                raise InputError(f"{self._server}: GETFORCE without POSDATA: it does not follow i-PI's protocol")
            self._send(b"FORCEREADY", self._data)
            self._data = None
        else:
            raise InputError(
                f"{self._server}: the message {quoted(header)} is none of i-PI's: does another program listen there?"
            )

    def _begin(self) -> None:
        _, length = np.frombuffer(self._receive(8), np.int32)
        if not 0 <= length <= _MOST_TEXT:
            raise InputError(f"{self._server}: INIT with a text of {length} bytes: it does not follow i-PI's protocol")
        words = self._receive(int(length)).decode("utf-8", "replace").split(",")
        for word in words:
            name, _, value = word.partition(":")
            if name.strip() == "batch_size" and value.strip() != "1":
                raise InputError(
                    f"{self._server}: <batch_size> is {value.strip()}, but structures are computed one by one: leave "
                    "it out of <ffsocket>"
                )
        self._begun = True

    def _compute(self) -> bytes:
        cells = np.frombuffer(self._receive(2 * 9 * 8)).reshape(2, 3, 3)  # the cell and its inverse
        n_atoms = int(np.frombuffer(self._receive(4), np.int32)[0])
        self._evaluate.check_number(n_atoms)
        positions = np.frombuffer(self._receive(n_atoms * 24)).reshape(-1, 3)
        try:
            energy, forces, virial, extras = self._evaluate(cells[0], positions)
        except (InputError, PhysicsError) as error:
            error.args = (f"evaluation {self._evaluate.evaluations + 1} for i-PI: {error}", *error.args[1:])
            raise
        text = extras.encode()
        return b"".join(
            (
                np.float64(energy).tobytes(),
                np.int32(n_atoms).tobytes(),
                np.ascontiguousarray(forces).tobytes(),
                np.ascontiguousarray(virial).tobytes(),
                np.int32(len(text)).tobytes(),
                text,
            )
        )

    def _send(self, header: bytes, data: bytes = b"") -> None:
        try:
            self._socket.settimeout(MESSAGE_S)
            self._socket.sendall(header.ljust(_HEADER) + data)
        except TimeoutError:
            raise FileError(f"{self._server}: i-PI has not taken an answer in {MESSAGE_S:g} s") from None

    def _header(self) -> str:
        """The next message. i-PI may be silent for long, as others compute, but not at the start."""
        self._socket.settimeout(self._wait_s if self.heard is None else None)
        try:
            first = self._socket.recv(1)
        except TimeoutError:
            raise FileError(
                f"{self._server}: connected, but no message in {self._wait_s:g} s: does another program listen there? "
                "If i-PI takes long to start, give --wait"
            ) from None
        if not first:
            raise _Gone
        return (first + self._receive(_HEADER - 1)).decode("ascii", "replace").strip()

    def _receive(self, size: int) -> bytes:
        """So many bytes, which are on their way."""
        self._socket.settimeout(MESSAGE_S)
        buffer = bytearray(size)
        view = memoryview(buffer)
        while view:
            try:
                count = self._socket.recv_into(view)
            except TimeoutError:
                raise FileError(
                    f"{self._server}: i-PI stopped in the middle of a message for {MESSAGE_S:g} s (mode 'shm' of "
                    "<ffsocket> is not known here)"
                ) from None
            if not count:
                raise _Gone
            view = view[count:]
        return bytes(buffer)

    def _leave(self) -> None:
        """Have i-PI see the end of the connection. Closed with messages unread, it is reset, which i-PI hangs at."""
        end = time.monotonic() + LEAVE_S
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            while (left := end - time.monotonic()) > 0:
                self._socket.settimeout(left)
                if not self._socket.recv(1 << 16):
                    return

    def _has_said_exit(self) -> bool:
        """Whether EXIT is what the server sent before it closed, while we were writing."""
        rest = b""
        with contextlib.suppress(OSError):
            self._socket.settimeout(RETRY_S)
            while part := self._socket.recv(1024):
                rest = (rest + part)[-_HEADER:]
        return rest.strip() == b"EXIT"
