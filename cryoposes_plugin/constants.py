"""Constants of the plugin on Scipion's side."""

CRYOPOSES_HOME = "CRYOPOSES_HOME"
CRYOPOSES_ENV_ACTIVATION = "CRYOPOSES_ENV_ACTIVATION"
CRYOPOSES_PYTHON = "CRYOPOSES_PYTHON"

PACKAGE_NAME = "cryoposes"
VERSION = "0.1.0"

#: Packages of the environment of the program, tested together on Python 3.10 to 3.12.
COMPUTE_REQUIREMENTS = (
    "tensorflow==2.21.0",
    "numpy==1.26.4",
    "scipy==1.11.4",
    "gemmi==0.7.5",
    "mrcfile==1.5.4",
    "matplotlib==3.8.4",
    "astra-toolbox==2.5.0",
    "scikit-learn==1.6.1",
    "numba==0.61.2",
)

#: Replaces TensorFlow if there is an NVIDIA GPU; it includes the CUDA libraries.
CUDA_REQUIREMENT = "tensorflow[and-cuda]==2.21.0"
#: This file exists if the NVIDIA driver is loaded.
NVIDIA_DRIVER = "/proc/driver/nvidia/version"

# Attributes of a particle from RELION that the program models.
RANDOM_SUBSET = "_rlnRandomSubset"
OPTICS_GROUP = "_rlnOpticsGroup"
BFACTOR = "_rlnCtfBfactor"

#: Magnification of sets whose source has none. Only its ratio to the detector's pixel size matters.
DEFAULT_MAGNIFICATION = 50000.0
