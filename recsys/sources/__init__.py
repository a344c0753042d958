"""Sources of evidence, one module each: every source gives users and items vectors.

- `base`: the protocol of a source, and the base class of sources that learn factors from plays.
- `als`: implicit ALS matrix factorization.
- `weighted_als`: its training, with exact solves and penalties that grow with plays.
- `given_factors`: ALS with factors that were learned elsewhere, from more plays.
- `lightfm`: LightFM factorization machine over identity, metadata and embeddings.
- `lightfm_model`: the LightFM model behind it, its features and its closed form.
- `ease`: low-rank EASE.
- `content`: similarity in sound.
- `popularity`: number of users.
- `fold_in`: vectors of new users by each source's rule; weighted least squares; play weights.
- `registry`: the sources by name.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
