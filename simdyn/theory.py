"""Closed forms of the paper: statement, source, regime, and how far each is established.

Source of all: Chen, Zhang, Kou, Chen, Hsieh, Gu, "Why Does Sharpness-Aware Minimization Generalize
Better Than SGD?", NeurIPS 2023 (arXiv 2310.07269), recalled: theorem numbers and constants are to
be checked against its text before they are quoted. Marks: [E] exact, [N] measured to leading order
in a regime, [R] recalled.
"""

from typing import Any


def critical_signal_norm(
    dimension: Any, n_samples: Any, n_patches: Any, noise_std: Any, constant: Any = 1.0
) -> Any:
    """Signal norm on the line between benign and harmful overfitting of SGD.

    ‖μ‖ = c (P − 1) σ_p (d/n)^{1/4}. Above it SGD's test error is close to the label noise p, below
    it SGD memorises the noise and the test error stays at least a constant above p.

    Parameters
    ----------
    dimension : number or array ≥ 1
        Dimension d of a patch.
    n_samples : number or array ≥ 1
        Training samples n.
    n_patches : number or array ≥ 2
        Patches P of a sample.
    noise_std : number or array ≥ 0
        Standard deviation σ_p of each noise coordinate.
    constant : number or array > 0
        c. The theory leaves it open; it depends on the test error that is taken as the border.

    Returns
    -------
    number or array
        ‖μ‖, of the arguments' broadcast shape; labelled where an argument is.

    Notes
    -----
    Theorem 3.2 [R] has two sides, benign where n‖μ‖⁴ ≥ C₁ d P⁴σ_p⁴ and harmful where
    n‖μ‖⁴ ≤ C₃ d P⁴σ_p⁴, with C₁ > C₃ unknown: one line only up to the constant.

    The scale (P − 1)σ_p, in place of the theorem's Pσ_p, is exact [E]: P − 1 copies of one noise
    vector give the same network outputs as one copy with standard deviation (P − 1)σ_p.

    The exponents are leading order [N]. In d: 0.250 over d = 10⁶ … 10¹⁴. In n: −0.26 up to n = 160,
    approaching −1/4. The line does not depend on m. Regime: full training (small training loss),
    small initial weights, d well above n.

    Examples
    --------
    >>> critical_signal_norm(dimension=5120, n_samples=20, n_patches=2, noise_std=1.0)
    4.0
    """
    return constant * (n_patches - 1) * noise_std * (dimension / n_samples) ** 0.25
