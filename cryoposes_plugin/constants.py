"""Names that Scipion's side of the plugin shares."""

CRYOPOSES_HOME = "CRYOPOSES_HOME"
CRYOPOSES_ENV_ACTIVATION = "CRYOPOSES_ENV_ACTIVATION"
CRYOPOSES_PYTHON = "CRYOPOSES_PYTHON"

PACKAGE_NAME = "cryoposes"
VERSION = "0.1.0"

#: What the environment of the compute program is built from; tried together on Python 3.10 to 3.12.
COMPUTE_REQUIREMENTS = (
    "tensorflow==2.21.0",
    "numpy==1.26.4",
    "scipy==1.11.4",
    "gemmi==0.7.5",
    "mrcfile==1.5.4",
    "matplotlib==3.8.4",
    "astra-toolbox==2.5.0",
)

#: In place of TensorFlow alone where there is an NVIDIA GPU: it brings CUDA's libraries along.
CUDA_REQUIREMENT = "tensorflow[and-cuda]==2.21.0"
#: There where the driver of NVIDIA's cards is loaded.
NVIDIA_DRIVER = "/proc/driver/nvidia/version"

# Attributes of a particle: those of our columns, and RELION's that are modelled.
RANDOM_SUBSET = "_rlnRandomSubset"
OPTICS_GROUP = "_rlnOpticsGroup"
BFACTOR = "_rlnCtfBfactor"

#: Given to sets whose source knows no magnification; only a ratio of it and the detector's pixel matters to anyone.
DEFAULT_MAGNIFICATION = 50000.0
