"""What all protocols share: from the form to the config, the program and the outputs."""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
import re
from typing import Any, Dict, List, NamedTuple, Tuple, Type

from pwem.objects import SetOfVolumes
from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.exceptions import PyworkflowException

from cryoposes_plugin.commands import plausibility
from cryoposes_plugin.commands.config import Config
from cryoposes_plugin.core.errors import CryoposesError
from cryoposes_plugin.core.io.names import PARTICLES_NAME, REPORT_NAME
from cryoposes_plugin.scipion import convert, forms, images, needs, results, runner

logger = logging.getLogger(__name__)

#: Number of particles that a form checks; the program checks all of them.
SAMPLE = 1000

__all__ = ["ParticleInput", "ProtCryoposesBase"]


class ParticleInput(NamedTuple):
    """An option that takes a STAR file, and the pointer to the particles.

    field, param : the option and the parameter of the form.
    poses, ctf, images : whether these are needed of the particles.
    """

    field: str
    param: str
    poses: bool = False
    ctf: bool = False
    images: bool = True


class ProtCryoposesBase(EMProtocol):
    """Three steps: write the inputs, run the program, register the outputs.

    Each step has the digest of parameters and inputs as its argument. So Continue repeats what a
    change affects, and resumes a run that was interrupted.
    """

    _label = None
    _devStatus = BETA
    CONFIG: Type[Config] = Config
    PARTICLES: Tuple[ParticleInput, ...] = ()
    #: (option, parameter of the form) of single volumes.
    VOLUMES: Tuple[Tuple[str, str], ...] = ()
    CITATIONS: Tuple[str, ...] = ()

    def modeSerial(self):
        """Whether Scipion runs one step at a time: unless chunks of the particles are steps."""
        return self._workers() == 1

    def getBinThreads(self):
        """Threads of the program, for the log, whether or not steps run in parallel."""
        return self.numberOfThreads.get()

    def _workers(self) -> int:
        workers = getattr(self, "workers", None)
        return max(1, workers.get() or 1) if workers is not None else 1

    def _rounds_of_chunks(self) -> int:
        """How often the particles are worked on in chunks."""
        return 1

    # -------------------------- steps ----------------------------------------
    def _insertAllSteps(self):
        key = self._step_key()
        last = [self._insertFunctionStep(self.convertInputStep, key, needsGPU=False)]
        of = self._workers()
        for number in range(self._rounds_of_chunks() if of > 1 else 0):
            last = [
                self._insertFunctionStep(
                    self.chunkStep,
                    key,
                    number + 1,
                    chunk + 1,
                    of,
                    prerequisites=last,
                    needsGPU=self.usesGpu(),
                )
                for chunk in range(of)
            ]
        self._insertFunctionStep(
            self.runProgramStep, key, prerequisites=last, needsGPU=self.usesGpu()
        )
        self._insertFunctionStep(self.createOutputStep, key, needsGPU=False)

    def convertInputStep(self, key: str):
        with self._sentences():
            for item in self._active_particles():
                self._write_particles(item)
            self._write_volumes()
            config = self._make_config()
            runner.write_config(self, config)
            runner.prepare_run_folder(self, config)

    def chunkStep(self, key: str, number: int, chunk: int, of: int):
        with self._sentences():
            runner.run_program(self, runner.read_config(self, self.CONFIG), chunk=(chunk, of))

    def runProgramStep(self, key: str):
        with self._sentences():
            runner.run_program(self, runner.read_config(self, self.CONFIG))

    def createOutputStep(self, key: str):
        with self._sentences():
            self._create_outputs()

    def _create_outputs(self) -> None:
        raise NotImplementedError

    def _sentences(self):
        return _Sentences(self)

    def getSubmitDict(self):
        """Values for the template of a queue; a run without a GPU requests none."""
        values = super().getSubmitDict()
        if not self.usesGpu():
            values["GPU_COUNT"] = 0
        return values

    def _step_key(self, growing: Tuple[str, ...] = ()) -> str:
        """Digest of parameters and inputs.

        growing : pointers to sets whose files change while they stay the same input.
        """
        parts = [self._make_config().digest()]
        for name, pointer in self.iterInputAttributes():
            value = pointer.get()
            if value is None:  # the form hides this entry
                continue
            path = (value.getFileName() or "").split(":")[0]
            # The time of the file counts, because an input that was computed again keeps its name.
            time_ns = (
                os.stat(path).st_mtime_ns if os.path.exists(path) and name not in growing else ""
            )
            parts.append(f"{name} {pointer.getUniqueId()} {path} {time_ns}")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    # -------------------------- config and input files -----------------------
    def _make_config(self) -> Config:
        values = forms.form_values(self, self.CONFIG)
        values.update(self._input_paths())
        return self.CONFIG(**values)

    def _input_paths(self) -> Dict[str, Any]:
        paths: Dict[str, Any] = {
            item.field: self._star_path(item) for item in self._active_particles()
        }
        for field, param in self.VOLUMES:
            if self._pointed(param) is not None:
                paths[field] = self._volume_path(field)
        if self.hasAttribute("inputVolumes"):
            paths["volume"] = tuple(self._numbered_volumes())
        return paths

    def _star_path(self, item: ParticleInput) -> str:
        """The file of a particle set; a set that is given twice has only one file."""

        def source(param):
            particles = self._pointed(param)
            return particles.getFileName(), particles.getPrefix()

        first = next(
            other for other in self._active_particles() if source(other.param) == source(item.param)
        )
        return self._getExtraPath(f"{first.field}.star")

    def _volume_path(self, name: str) -> str:
        return self._getExtraPath(f"{name}.mrc")

    def _volume_files(self) -> Dict[str, Any]:
        """File to write -> Scipion Volume."""
        files = {
            self._volume_path(field): self._pointed(param)
            for field, param in self.VOLUMES
            if self._pointed(param) is not None
        }
        if self.hasAttribute("inputVolumes"):
            files.update(self._numbered_volumes())
        return files

    def _numbered_volumes(self) -> Dict[str, Any]:
        """File to write -> Volume or AtomStruct, in the order of the form.

        Atomic models keep the extension of their file.
        """
        return {
            self._getExtraPath(f"volume_{i + 1}{images.model_suffix(volume) or '.mrc'}"): volume
            for i, volume in enumerate(self._input_volumes())
        }

    def _input_volumes(self) -> List[Any]:
        """All volumes and atomic models that `inputVolumes` points to, including items of sets."""
        volumes: List[Any] = []
        for pointer in self.inputVolumes:
            value = pointer.get()
            if isinstance(value, SetOfVolumes):
                volumes += [volume.clone() for volume in value]
            elif value is not None:
                volumes.append(value.clone())
        return volumes

    def _write_particles(self, item: ParticleInput) -> None:
        particles = self._pointed(item.param)
        stack = self._getTmpPath(f"{item.field}.mrcs") if item.images else None
        self._write_table(self._star_path(item), convert.particles_to_table(particles, stack))

    def _write_table(self, path: str, table) -> None:
        from cryoposes_plugin.core.io.particle_files import write_particles

        write_particles(path, table)

    def _write_volumes(self) -> None:
        for path, volume in self._volume_files().items():
            images.volume_to_mrc(volume, path)

    def _active_particles(self) -> List[ParticleInput]:
        return [item for item in self.PARTICLES if self._pointed(item.param) is not None]

    def _pointed(self, param: str):
        """The object that a pointer points to; None if it is empty or hidden in the form."""
        return getattr(self, param).get() if self.evalParamCondition(param) else None

    # -------------------------- results --------------------------------------
    def shown_run(self) -> str:
        """Folder of the run whose pictures and report are shown."""
        return runner.run_folder(self)

    def _run_file(self, name: str, subfolder: str = "") -> str:
        return os.path.join(runner.run_folder(self, subfolder), name)

    def _read_table(self, name: str, subfolder: str = ""):
        from cryoposes_plugin.core.io.particle_files import read_particles

        return read_particles(self._run_file(name, subfolder))

    def _metrics(self) -> Dict[str, Any]:
        return runner.read_metrics(self)

    def _define(self, **outputs) -> None:
        """Register outputs with their source relations."""
        self._defineOutputs(**outputs)
        for output in outputs.values():
            for _, pointer in self.iterInputAttributes():
                self._defineSourceRelation(pointer, output)

    def _create_particles(self, subset: bool = False):
        """The input particles with the poses, the scores and the pose source of the result."""
        table = self._read_table(PARTICLES_NAME)
        particles = self._createSetOfParticles()
        results.update_particles(
            particles, self.inputParticles.get(), table, **self._taken(table), subset=subset
        )
        return particles

    @staticmethod
    def _taken(table) -> Dict[str, Any]:
        """What a set takes from a table with poses: poses, all scores, their source and covariance."""
        from cryoposes_plugin.core.scores import COVARIANCE, MATE_PROBABILITIES, POSE_SOURCE

        texts = (POSE_SOURCE, COVARIANCE, MATE_PROBABILITIES)
        return {"poses": True, "scores": tuple(table.scores), "texts": texts}

    # -------------------------- information ----------------------------------
    def _validate(self) -> List[str]:
        if self._lacks_input():
            return []  # Scipion reports it itself.
        try:
            problems = self._awaited_inputs() or self._wrong_classes() or self._input_problems()
            if not problems:
                config = self._make_config()
                config.validate()
                self._check(config)
                self._questions(config)
                problems = needs.problems_of_form(self, config)
        except CryoposesError as error:
            problems = [str(error)]
        return [self._in_form_words(problem) for problem in problems]

    def needs_sentence(self) -> str:
        """What the run will need of memory, disk and time, or why that cannot be told."""
        problems = self._validate()
        if not problems and self._lacks_input():
            problems = ["Choose the inputs first."]
        try:
            return "\n".join(problems) or needs.measured_sentence(self, self._make_config())
        except CryoposesError as error:
            return self._in_form_words(str(error))

    def _lacks_input(self) -> bool:
        pointers = self.getDefinition().iterPointerParams()
        return any(self._is_empty(name, param) for name, param in pointers)

    def _awaited_inputs(self) -> List[str]:
        """Inputs that their runs have not produced yet.

        Scipion starts a scheduled run as soon as its validation reports no problem.
        """
        return [
            f"{self.getParam(name).label.get()}: '{pointer.getObjValue().getObjLabel()}' has not "
            f"produced {pointer.getExtended()} yet; wait until that run has finished."
            for name, pointer in self.iterInputAttributes()
            if pointer.hasExtended() and pointer.get() is None and self.evalParamCondition(name)
        ]

    def _wrong_classes(self) -> List[str]:
        """Pointers to objects of a wrong class, which a script may give but a form does not."""
        problems = []
        for name, param in self.getDefinition().iterPointerParams():
            wanted = [word.strip() for word in param.pointerClass.get().split(",")]
            value = getattr(self, name)
            for pointer in [value] if value.isPointer() else value:
                given = pointer.get()
                if given is not None and not {c.__name__ for c in type(given).__mro__} & set(
                    wanted
                ):
                    label = param.label.get()
                    problems.append(
                        f"{label}: the object is a {type(given).__name__}; give a "
                        f"{' or a '.join(wanted)}."
                    )
        return problems

    def _questions(self, config: Config) -> List[str]:
        """Questions about unlikely values; raises for impossible ones."""
        asked = plausibility.option_questions(config)
        for item in self._active_particles():
            table = convert.sample_table(self._pointed(item.param), SAMPLE)
            what = forms.label_of(self.CONFIG, item.field)
            asked += plausibility.set_questions(
                config, table, what, plausibility.poses_matter(config, item.field)
            )
        return list(dict.fromkeys(asked + self._warnings_of_model(config)))

    @staticmethod
    def _warnings_of_model(config: Config) -> List[str]:
        """Warnings from the training of the model, for example that it has learned nothing."""
        from cryoposes_plugin.core.models.model_card import ModelCard

        folder = getattr(config, "model", None)
        return ModelCard.read(folder).warnings if folder else []

    def _warnings(self) -> List[str]:
        """Warnings before the launch, which the user may ignore."""
        try:
            asked = self._questions(self._make_config())
        except CryoposesError:  # `_validate` reports it
            asked = []
        return [self._in_form_words(question) for question in asked]

    def _is_empty(self, name: str, param) -> bool:
        if param.allowsNull.get() or not self.evalParamCondition(name):
            return False
        value = getattr(self, name)
        pointers = [value] if value.isPointer() else list(value)
        return not pointers or any(pointer.get() is None for pointer in pointers)

    def _input_problems(self) -> List[str]:
        problems: List[str] = []
        for item in self._active_particles():
            what = forms.label_of(self.CONFIG, item.field)
            problems += convert.particle_problems(
                self._pointed(item.param), what, item.poses, item.ctf, item.images
            )
        for volume in self._volume_files().values():
            problems += images.volume_problems(volume)
        return problems or self._pixel_size_problems()

    def _pixel_size_problems(self) -> List[str]:
        """Sentences on volumes with the box size of the particles and another pixel size."""
        from cryoposes_plugin.core.particles.checks import pixel_sizes_differ, same_pixel_size

        problems: List[str] = []
        if not self.hasAttribute("inputParticles"):
            return problems
        for _, param in self.VOLUMES:
            volume, particles = self._pointed(param), self.inputParticles.get()
            if volume is None or volume.getDim()[0] != particles.getXDim():
                continue
            ours, theirs = particles.getSamplingRate(), volume.getSamplingRate()
            if not same_pixel_size(theirs, ours):
                box = particles.getXDim()
                problems.append(pixel_sizes_differ("The volume", box, theirs, ours))
        return problems

    def _common_problems(self, *params: str) -> List[str]:
        """A sentence if two particle sets that are matched by id have no particle in common."""
        first, second = (self._pointed(param) for param in params)
        if first is None or second is None or first.getIdSet() & second.getIdSet():
            return []
        return [
            f"The two sets ({first.getSize()} and {second.getSize()} particles) have no particle "
            "id in common; give two sets of the same particles."
        ]

    def _width_angstrom(self, param: str = "inputParticles") -> float:
        """Width of the images of a set."""
        particles = self._pointed(param)
        return particles.getXDim() * particles.getSamplingRate()

    def _computes_here(self) -> bool:
        """Whether the program runs in this interpreter, so that missing software can be reported
        now.
        """
        return type(self.getPlugin()).runsInScipionEnvironment() and not self.useQueue()

    def _check(self, config: Config) -> None:
        """Raise for what is known to be wrong before the input files are written."""

    def _summary(self) -> List[str]:
        metrics = self._metrics()
        if not metrics:
            return ["There is no result yet.", *self._space_needed()]
        lines = [self._in_form_words(line) for line in self._result_summary(metrics)]
        return lines + [line for line in self._run_warnings() if line not in self.summaryWarnings]

    def _space_needed(self) -> List[str]:
        """What the run will need of memory and disk, as far as its inputs are known."""
        if self._lacks_input() or self._awaited_inputs():
            return []
        try:
            return needs.space_of_form(self, self._make_config())
        except CryoposesError:  # `_validate` reports it
            return []

    def checkSummaryWarnings(self):
        """Called by Scipion: warnings of the run mark its box and are listed in its summary."""
        super().checkSummaryWarnings()
        for line in self._run_warnings():
            self.addSummaryWarning(line)

    def _run_warnings(self) -> List[str]:
        return [
            self._in_red(self._in_form_words(line)) for line in self._metrics().get("warnings", [])
        ]

    def _in_red(self, line: str) -> str:
        """The line in red: Scipion's summary shows links in red, and this one opens the report."""
        report = os.path.abspath(os.path.join(self.shown_run(), REPORT_NAME))
        return f"[[file://{report}][{line.replace(']', ')')}]]" if os.path.exists(report) else line

    def _in_form_words(self, line: str) -> str:
        """The line with labels instead of options and of files that this protocol has written."""
        extra = re.escape(self._getExtraPath())
        folder = rf"(?:{re.escape(os.getcwd())}/)?{extra}/(?:batches/[^/\s]+/)?"
        written = rf"{folder}([a-z_]+?)(?:_\d+)?\.(?:star|mrc|pdb|cif)\b"

        def label(match):
            known = match.group(1) in self.CONFIG.__dataclass_fields__
            return f"'{forms.label_of(self.CONFIG, match.group(1))}'" if known else match.group()

        return forms.in_form_words(re.sub(written, label, line), self.CONFIG)

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        raise NotImplementedError

    def _citations(self) -> List[str]:
        return list(self.CITATIONS)

    def getPackageCitations(self, bibTexOutput=False):
        """Citations of the plugin that the protocol does not give itself."""
        everything = super().getPackageCitations(bibTexOutput)
        return {key: text for key, text in everything.items() if key not in self.CITATIONS}

    @classmethod
    def getHelpText(cls) -> str:
        """Text of the Help button: the docstring of the class, one line per paragraph."""
        paragraphs = inspect.cleandoc(cls.getDoc()).split("\n\n")
        return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs) + "\n"


class _Sentences:
    """Shows an error of the program as a sentence in the words of the form, with no traceback."""

    def __init__(self, protocol: ProtCryoposesBase):
        self.protocol = protocol

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, CryoposesError) or isinstance(error, runner.ProgramFailed):
            raise PyworkflowException(self.protocol._in_form_words(str(error))) from error
        return False
