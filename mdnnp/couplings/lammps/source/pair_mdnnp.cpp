/* pair_style mdnnp: potentials of mdnnp inside LAMMPS.

   This file derives from LAMMPS' class Pair and is distributed under the GNU General Public License, version 2, see
   LICENSE beside it. The rest of mdnnp, which it calls through the functions of `Engine` alone, is under the MIT
   License.

   LAMMPS gives positions of the atoms of this rank and of ghosts, and a full neighbour list. Centres go to the engine
   in blocks; a block has its centres first, then their neighbours. The engine gives the forces on all of them, those
   on ghosts are sent home by LAMMPS (newton on). Energies are in eV, lengths in Angstrom, until they enter LAMMPS'
   arrays. */

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "pair.h"
#include "update.h"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <string>
#include <sys/prctl.h>
#include <unistd.h>
#include <vector>

using namespace LAMMPS_NS;

namespace {

constexpr int MESSAGE_SIZE = 4096;
constexpr int CENTRES_PER_BLOCK = 2048;
constexpr double OVERLAP_A = 1e-3;           // as in the engine
constexpr double KCAL_MOL_PER_EV = 23.060549;    // LAMMPS' own, of its units metal and real

// What the engine needs to know of a block, and what it gives. engine.py has the same fields in the same order.
struct Block {
  int64_t centres, places, edges;
  const double *positions;     // (places, 3)
  const int64_t *numbers;      // (places)
  const int64_t *first;        // (centres + 1)
  const int32_t *neighbor;     // (edges), for each centre in ascending order of atomic number
  double *energies;            // (centres)
  double *forces;              // (places, 3)
  double *virials;             // (places, 3, 3), or null where they are not wanted
  double *deviations;          // (members, places, 3), or null for a single potential
  double virial[9];
  int64_t extrapolations;      // of all centres; the first of them:
  int64_t place, function;
  double value, lower, upper;
};

struct Model {
  int64_t handle, members;
  double cutoff;
};

// Functions return 0, or 1 with a message.
struct Engine {
  int (*open)(const char *path, const char *length_unit, const char *energy_unit, const char *elements, int speaks,
              Model *model, int64_t *numbers, double *masses, char *message);
  int (*evaluate)(int64_t handle, Block *block, char *message);
  void (*close)(int64_t handle);
};

// Starts the engine in the Python of this process, or in a new one. Returns what went wrong, or "".
std::string start(Engine &engine)
{
  void *library = RTLD_DEFAULT;
  if (!dlsym(library, "Py_IsInitialized")) {
    const char *path = getenv("MDNNP_LIBPYTHON");
    if (!path || !*path)
      return "this Python has no shared library, in which the potential could be computed (it was built without "
             "--enable-shared); use another Python, or drive LAMMPS from Python: import lammps";
    library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!library) return std::string("Python cannot be loaded: ") + dlerror();
  }
  const auto is_initialized = (int (*)()) dlsym(library, "Py_IsInitialized");
  const auto initialize = (void (*)(int)) dlsym(library, "Py_InitializeEx");
  const auto run = (int (*)(const char *)) dlsym(library, "PyRun_SimpleString");
  const auto ensure = (int (*)()) dlsym(library, "PyGILState_Ensure");
  const auto release = (void (*)(int)) dlsym(library, "PyGILState_Release");
  const auto save = (void *(*) ()) dlsym(library, "PyEval_SaveThread");
  if (!is_initialized || !initialize || !run || !ensure || !release || !save)
    return "Python's library lacks functions that are needed";

  if (!is_initialized()) {
    // The wheel's command lmp runs LAMMPS as a child, which must not outlive it: other ranks would wait for ever.
    const char *command = getenv("MDNNP_PROCESS");
    if (command && atol(command) == (long) getppid()) prctl(PR_SET_PDEATHSIG, SIGKILL);
    const char *home = getenv("MDNNP_PYTHONHOME");
    const char *before = getenv("PYTHONHOME");
    const std::string kept = before ? before : "";
    if (home) setenv("PYTHONHOME", home, 1);
    initialize(0);
    if (before)
      setenv("PYTHONHOME", kept.c_str(), 1);
    else
      unsetenv("PYTHONHOME");
    const int failed = run("import os, sys; sys.path[:] = os.environ['MDNNP_PYTHONPATH'].split(os.pathsep)");
    save();
    if (failed) return "Python cannot start; the reason is above";
  }
  const std::string address = std::to_string((uintptr_t) &engine);
  const int state = ensure();
  const int failed = run(("__import__('mdnnp.couplings.lammps.engine', fromlist=['connect']).connect(" + address +
                          ")").c_str());
  release(state);
  return failed ? "the engine cannot start in Python; the reason is above" : "";
}

class PairMDNNP : public Pair {
 public:
  PairMDNNP(LAMMPS *);
  ~PairMDNNP() override;
  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override { return model.cutoff; }
  void compute(int, int) override;
  void finish() override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;
  void *extract_peratom(const char *, int &) override;
  double memory_usage() override;

 private:
  void check(bool failed, const std::string &text);
  void block(int begin, int end);
  void warn();
  void disagree();

  Engine engine;
  Model model;
  std::vector<std::string> symbols;    // of types 1, 2, ...; "NULL" if of no concern
  std::vector<int64_t> number;         // by type
  std::vector<double> own_mass;        // by type, of the element, u
  std::vector<int> bucket;             // by type, place of its element among all by atomic number
  int buckets;
  double unit;    // of energy, per eV
  bool warned;
  bigint total;           // extrapolations of this rank in all
  double extra[3];        // pvector: extrapolations of the step, in all, largest disagreement
  Block event;            // the first extrapolation of the step
  int event_atom;         // where it was

  std::vector<int> place_of;    // of all atoms and ghosts, -1 where not in the block
  std::vector<int> atom_at;     // by place
  std::vector<double> positions, energies, forces, virials, deviations;
  std::vector<int64_t> numbers, first;
  std::vector<int32_t> neighbors;
  std::vector<int> near, kind;
  std::vector<double> deviation, disagreement;    // of all atoms and ghosts: (3 members), and of own atoms
};

PairMDNNP::PairMDNNP(LAMMPS *lmp) : Pair(lmp), engine(), model(), unit(1.0), warned(false), total(0), extra()
{
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_AVAIL;
  nextra = 3;
  pvector = extra;
  model.handle = -1;
}

PairMDNNP::~PairMDNNP()
{
  pvector = nullptr;
  if (model.handle >= 0) engine.close(model.handle);
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

// Stops all ranks if any has failed, with the text of the first.
void PairMDNNP::check(bool failed, const std::string &text)
{
  int mine = failed ? comm->me : comm->nprocs, owner;
  MPI_Allreduce(&mine, &owner, 1, MPI_INT, MPI_MIN, world);
  if (owner == comm->nprocs) return;
  char told[MESSAGE_SIZE] = {};
  if (comm->me == owner) strncpy(told, text.c_str(), MESSAGE_SIZE - 1);
  MPI_Bcast(told, MESSAGE_SIZE, MPI_CHAR, owner, world);
  error->all(FLERR, std::string("pair_style mdnnp: ") + told);
}

void PairMDNNP::settings(int narg, char **)
{
  if (narg) error->all(FLERR, "pair_style mdnnp takes no arguments; the potential is named by pair_coeff");
  if (strcmp(update->unit_style, "metal") == 0)
    unit = 1.0;
  else if (strcmp(update->unit_style, "real") == 0)
    unit = KCAL_MOL_PER_EV;
  else
    error->all(FLERR, std::string("pair_style mdnnp works with units metal and real, found units ") +
                   update->unit_style);
}

void PairMDNNP::coeff(int narg, char **arg)
{
  const int n = atom->ntypes;
  const std::string usage = "pair_coeff * * POTENTIAL [length_unit U] [energy_unit U] ELEMENT ..., with an element for "
                            "each of the " + std::to_string(n) + " atom types";
  if (narg < 4 || strcmp(arg[0], "*") || strcmp(arg[1], "*"))
    error->all(FLERR, "pair_style mdnnp expects " + usage);
  std::string units[2];
  int next = 3;
  for (; next + 1 < narg; next += 2) {
    if (strcmp(arg[next], "length_unit") == 0)
      units[0] = arg[next + 1];
    else if (strcmp(arg[next], "energy_unit") == 0)
      units[1] = arg[next + 1];
    else
      break;
  }
  if (narg - next != n)
    error->all(FLERR, "pair_style mdnnp found " + std::to_string(narg - next) + " elements; it expects " + usage);
  symbols.assign(1, "NULL");
  std::string listed;
  for (int t = 1; t <= n; t++) {
    symbols.emplace_back(arg[next + t - 1]);
    listed += (t > 1 ? " " : "") + symbols[t];
  }

  if (!engine.open) {
    const std::string wrong = start(engine);
    check(!wrong.empty(), wrong);
  }
  if (model.handle >= 0) engine.close(model.handle);
  model.handle = -1;
  number.assign(n + 1, 0);
  own_mass.assign(n + 1, 0.0);
  // Rank 0 goes first: where it compiles, the others load what it has compiled.
  std::vector<char> message(MESSAGE_SIZE, 0);
  for (const bool first_rank : {true, false}) {
    int failed = 0;
    if ((comm->me == 0) == first_rank)
      failed = engine.open(arg[2], units[0].c_str(), units[1].c_str(), listed.c_str(), first_rank, &model,
                           number.data() + 1, own_mass.data() + 1, message.data());
    check(failed, message.data());
  }

  std::vector<int64_t> distinct(number.begin() + 1, number.end());
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  buckets = distinct.size();
  bucket.assign(n + 1, 0);
  for (int t = 1; t <= n; t++)
    bucket[t] = std::lower_bound(distinct.begin(), distinct.end(), number[t]) - distinct.begin();

  if (!allocated) {
    memory->create(setflag, n + 1, n + 1, "pair:setflag");
    memory->create(cutsq, n + 1, n + 1, "pair:cutsq");
    allocated = 1;
  }
  for (int i = 1; i <= n; i++)
    for (int j = 1; j <= n; j++) setflag[i][j] = number[i] && number[j];
  comm_reverse = model.members > 1 ? 3 * model.members : 0;
}

void PairMDNNP::init_style()
{
  if (!force->newton_pair)
    error->all(FLERR, "pair_style mdnnp needs newton on for pairs: forces on ghost atoms are sent to their owners");
  if (atom->tag_enable == 0) error->all(FLERR, "pair_style mdnnp needs atom IDs: remove atom_modify id no");
  if (atom->molecular != Atom::ATOMIC && atom->nbonds > 0)
    for (int k = 1; k < 4; k++)
      if (force->special_lj[k] == 0.0 && force->special_coul[k] == 0.0)
        error->all(FLERR, "pair_style mdnnp needs all neighbors, but special_bonds takes those out that bonds join; "
                          "write special_bonds lj/coul 1 1 1");
  for (int t = 1; atom->mass && t <= atom->ntypes; t++) {
    if (!number[t] || std::abs(atom->mass[t] / own_mass[t] - 1.0) < 0.1) continue;
    for (int other = 1; other <= atom->ntypes; other++)
      if (number[other] && std::abs(atom->mass[t] / own_mass[other] - 1.0) < 0.01)
        error->all(FLERR, "pair_style mdnnp: atom type " + std::to_string(t) + " is " + symbols[t] +
                              " by pair_coeff, but its mass is that of " + symbols[other] +
                              ": give the elements in the order of the types");
  }
  neighbor->add_request(this, NeighConst::REQ_FULL);
}

void PairMDNNP::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  if (neighbor->exclude)
    error->all(FLERR, "pair_style mdnnp needs all neighbors, but neigh_modify exclude takes some out; remove it");
  const int all = atom->nlocal + atom->nghost;
  place_of.assign(all, -1);
  if (model.members > 1) deviation.assign(3 * model.members * (size_t) all, 0.0);
  event.extrapolations = 0;
  extra[0] = extra[2] = 0.0;
  for (int begin = 0; begin < list->inum; begin += CENTRES_PER_BLOCK)
    block(begin, std::min(begin + CENTRES_PER_BLOCK, list->inum));
  total += (bigint) extra[0];
  extra[1] = total;
  if (!warned) warn();
  if (model.members > 1) disagree();
}

void PairMDNNP::block(int begin, int end)
{
  const int centres = end - begin;
  double **x = atom->x;
  const int *type = atom->type;
  const double cutoff2 = model.cutoff * model.cutoff;

  atom_at.clear();
  for (int c = 0; c < centres; c++) {
    const int i = list->ilist[begin + c];
    place_of[i] = c;
    atom_at.push_back(i);
  }
  first.assign(1, 0);
  neighbors.clear();
  std::vector<int> start(buckets + 1);
  for (int c = 0; c < centres; c++) {
    const int i = atom_at[c], *listed = list->firstneigh[i], count = list->numneigh[i];
    if ((int) near.size() < count) {
      near.resize(count);
      kind.resize(count);
    }
    const double xi = x[i][0], yi = x[i][1], zi = x[i][2];
    if (!std::isfinite(xi + yi + zi))
      error->one(FLERR, "pair_style mdnnp: the position of atom " + std::to_string(atom->tag[i]) +
                            " is not a finite number");
    int n = 0;
    for (int k = 0; k < count; k++) {
      const int j = listed[k] & NEIGHMASK;
      const double dx = x[j][0] - xi, dy = x[j][1] - yi, dz = x[j][2] - zi;
      const double d = dx * dx + dy * dy + dz * dz;
      near[n] = j;
      n += d < cutoff2;    // without a branch: the entry is overwritten unless it counts
      if (d < OVERLAP_A * OVERLAP_A)
        error->one(FLERR, "pair_style mdnnp: atoms " + std::to_string(atom->tag[i]) + " and " +
                              std::to_string(atom->tag[j]) + " are at the same position");
    }
    std::fill(start.begin(), start.end(), 0);
    for (int k = 0; k < n; k++) {
      kind[k] = bucket[type[near[k]]];
      start[kind[k] + 1]++;
    }
    for (int b = 0; b < buckets; b++) start[b + 1] += start[b];
    const size_t before = neighbors.size();
    neighbors.resize(before + n);
    for (int k = 0; k < n; k++) {
      const int j = near[k];
      if (place_of[j] < 0) {
        place_of[j] = atom_at.size();
        atom_at.push_back(j);
      }
      neighbors[before + start[kind[k]]++] = place_of[j];
    }
    first.push_back(neighbors.size());
  }

  const size_t places = atom_at.size();
  const bool want_virials = vflag_atom || cvflag_atom;
  positions.resize(3 * places);
  numbers.resize(places);
  forces.resize(3 * places);
  energies.resize(centres);
  virials.resize(want_virials ? 9 * places : 0);
  deviations.resize(model.members > 1 ? 3 * model.members * places : 0);
  for (size_t p = 0; p < places; p++) {
    const int i = atom_at[p];
    for (int a = 0; a < 3; a++) positions[3 * p + a] = x[i][a];
    numbers[p] = number[type[i]];
    place_of[i] = -1;
  }
  Block one = {};
  one.centres = centres;
  one.places = places;
  one.edges = neighbors.size();
  one.positions = positions.data();
  one.numbers = numbers.data();
  one.first = first.data();
  one.neighbor = neighbors.data();
  one.energies = energies.data();
  one.forces = forces.data();
  one.virials = want_virials ? virials.data() : nullptr;
  one.deviations = model.members > 1 ? deviations.data() : nullptr;
  std::vector<char> message(MESSAGE_SIZE, 0);
  if (engine.evaluate(model.handle, &one, message.data()))
    error->one(FLERR, "pair_style mdnnp, step " + std::to_string(update->ntimestep) + ": " + message.data());

  double **f = atom->f;
  for (size_t p = 0; p < places; p++)
    for (int a = 0; a < 3; a++) f[atom_at[p]][a] += unit * forces[3 * p + a];
  static constexpr int row[] = {0, 1, 2, 0, 0, 1}, column[] = {0, 1, 2, 1, 2, 2};    // xx yy zz xy xz yz
  static constexpr int centroid[] = {0, 4, 8, 1, 2, 5, 3, 6, 7};    // and yx zx zy
  if (eflag_global)
    for (int c = 0; c < centres; c++) eng_vdwl += unit * energies[c];
  if (eflag_atom)
    for (int c = 0; c < centres; c++) eatom[atom_at[c]] += unit * energies[c];
  if (vflag_global)
    for (int k = 0; k < 6; k++)
      virial[k] += 0.5 * unit * (one.virial[3 * row[k] + column[k]] + one.virial[3 * column[k] + row[k]]);
  for (size_t p = 0; p < places && want_virials; p++) {
    const double *own = virials.data() + 9 * p;
    if (vflag_atom)
      for (int k = 0; k < 6; k++)
        vatom[atom_at[p]][k] += 0.5 * unit * (own[3 * row[k] + column[k]] + own[3 * column[k] + row[k]]);
    if (cvflag_atom)
      for (int k = 0; k < 9; k++) cvatom[atom_at[p]][k] += unit * own[centroid[k]];
  }
  for (int m = 0; m < model.members && model.members > 1; m++)
    for (size_t p = 0; p < places; p++)
      for (int a = 0; a < 3; a++)
        deviation[3 * (model.members * (size_t) atom_at[p] + m) + a] += deviations[3 * (m * places + p) + a];
  if (one.extrapolations && !event.extrapolations) {
    event = one;
    event_atom = atom_at[one.place];
  }
  extra[0] += one.extrapolations;
}

// Rank 0 warns of the first extrapolation, which any rank may have had.
void PairMDNNP::warn()
{
  int mine = event.extrapolations ? comm->me : comm->nprocs, owner;
  MPI_Allreduce(&mine, &owner, 1, MPI_INT, MPI_MIN, world);
  if (owner == comm->nprocs) return;
  warned = true;
  const int type = event.extrapolations ? atom->type[event_atom] : 0;
  double told[] = {event.extrapolations ? (double) atom->tag[event_atom] : 0.0, (double) type,
                   (double) event.function, event.value, event.lower, event.upper};
  MPI_Bcast(told, 6, MPI_DOUBLE, owner, world);
  if (comm->me) return;
  char text[512];
  snprintf(text, sizeof text,
           "pair_style mdnnp: extrapolation at step %lld: atom %lld (%s), symmetry function %lld: %.6g is outside of "
           "[%.6g, %.6g]. Later ones are counted: compute pair mdnnp",
           (long long) update->ntimestep, (long long) told[0], symbols[(int) told[1]].c_str(), (long long) told[2],
           told[3], told[4], told[5]);
  error->warning(FLERR, std::string(text));
}

// Members' deviations on ghosts go home; then each atom has its disagreement, and all have the largest.
void PairMDNNP::disagree()
{
  comm->reverse_comm(this);
  disagreement.assign(atom->nmax, 0.0);
  double largest = 0.0, all = 0.0;
  for (int i = 0; i < atom->nlocal; i++) {
    double sum = 0.0;
    for (int k = 0; k < comm_reverse; k++) {
      const double d = deviation[comm_reverse * (size_t) i + k];
      sum += d * d;
    }
    disagreement[i] = unit * std::sqrt(sum / model.members);
    largest = std::max(largest, disagreement[i]);
  }
  MPI_Reduce(&largest, &all, 1, MPI_DOUBLE, MPI_MAX, 0, world);
  extra[2] = all;    // on rank 0 alone, as compute pair sums over ranks
}

void PairMDNNP::finish()
{
  bigint all = 0;
  MPI_Reduce(&total, &all, 1, MPI_LMP_BIGINT, MPI_SUM, 0, world);
  if (comm->me == 0 && all)
    error->warning(FLERR, "pair_style mdnnp: " + std::to_string(all) +
                              " symmetry functions were outside the range of the training data so far");
}

int PairMDNNP::pack_reverse_comm(int n, int begin, double *buffer)
{
  std::copy_n(deviation.data() + comm_reverse * (size_t) begin, comm_reverse * (size_t) n, buffer);
  return comm_reverse * n;
}

void PairMDNNP::unpack_reverse_comm(int n, int *atoms, double *buffer)
{
  for (int i = 0; i < n; i++)
    for (int k = 0; k < comm_reverse; k++) deviation[comm_reverse * (size_t) atoms[i] + k] += *buffer++;
}

void *PairMDNNP::extract_peratom(const char *name, int &columns)
{
  if (model.members < 2 || strcmp(name, "disagreement")) return nullptr;
  columns = 0;
  disagreement.resize(atom->nmax);
  return disagreement.data();
}

double PairMDNNP::memory_usage()
{
  return Pair::memory_usage() + 4.0 * (place_of.capacity() + atom_at.capacity() + neighbors.capacity()) +
      8.0 * (positions.capacity() + forces.capacity() + virials.capacity() + deviations.capacity() +
             numbers.capacity() + first.capacity() + deviation.capacity() + disagreement.capacity());
}

Pair *create(LAMMPS *lmp)
{
  return new PairMDNNP(lmp);
}

struct Plugin {    // lammpsplugin_t of lammpsplugin.h, which LAMMPS does not install
  const char *version, *style, *name, *info, *author;
  Pair *(*creator)(LAMMPS *);
  void *handle;
};

}    // namespace

extern "C" int lammps_version(void *);
extern "C" int lammps_extract_setting(void *, const char *);

extern "C" void lammpsplugin_init(void *lmp, void *handle, void *register_plugin)
{
  // The members of LAMMPS' classes move from one version to the next: only with the library that it was compiled for.
  Dl_info found;
  const char *expected = getenv("MDNNP_LAMMPS_FOLDER");
  char *real = dladdr((void *) lammps_version, &found) ? realpath(found.dli_fname, nullptr) : nullptr;
  const std::string file = real ? real : "unknown";
  free(real);
  if (!expected || file.substr(0, file.rfind('/')) != expected) {
    fprintf(stderr, "mdnnp: pair_style mdnnp is compiled for LAMMPS in %s, but this LAMMPS is %s: not loaded\n",
            expected ? expected : "another folder", file.c_str());
    return;
  }
  if (lammps_extract_setting(lmp, "bigint") != sizeof(bigint) ||
      lammps_extract_setting(lmp, "tagint") != sizeof(tagint)) {
    fprintf(stderr, "mdnnp: pair_style mdnnp is compiled for integers of another size than LAMMPS': not loaded\n");
    return;
  }
  Plugin plugin = {((LAMMPS *) lmp)->version, "pair", "mdnnp", "potentials of mdnnp: HDNNP and others", "mdnnp", create,
                   handle};
  ((void (*)(Plugin *, void *)) register_plugin)(&plugin, lmp);
}
