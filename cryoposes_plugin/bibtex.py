"""
@article{Banjac2021,
  title = {Learning to recover orientations from projections in single-particle cryo-EM},
  author = {Banjac, Jelena and Donati, Laur{\\`e}ne and Defferrard, Micha{\\"e}l},
  journal = {arXiv:2104.06237},
  year = {2021},
  doi = {https://doi.org/10.48550/arXiv.2104.06237}
}

@article{Lian2022,
  title = {End-to-end orientation estimation from 2D cryo-EM images},
  author = {Lian, Ruyi and Huang, Bingyao and Wang, Liguo and Liu, Qun and Lin, Yuewei and
            Ling, Haibin},
  journal = {Acta Crystallographica Section D},
  volume = {78},
  number = {2},
  pages = {174--186},
  year = {2022}
}

@article{Punjani2017,
  title = {cryoSPARC: algorithms for rapid unsupervised cryo-EM structure determination},
  author = {Punjani, Ali and Rubinstein, John L. and Fleet, David J. and Brubaker, Marcus A.},
  journal = {Nature Methods},
  volume = {14},
  number = {3},
  pages = {290--296},
  year = {2017},
  doi = {https://doi.org/10.1038/nmeth.4169}
}

@article{Chung2023,
  title = {Cryo-forum: a framework for orientation recovery with uncertainty measure},
  author = {Chung, Szu-Chi},
  journal = {arXiv:2307.09847},
  year = {2023},
  doi = {https://doi.org/10.48550/arXiv.2307.09847}
}
"""
