"""Captions as text: plain, and for LaTeX."""

import re

GREEK = {
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
    "δ": "delta",
    "ε": "varepsilon",
    "η": "eta",
    "θ": "theta",
    "κ": "kappa",
    "λ": "lambda",
    "μ": "mu",
    "ν": "nu",
    "ξ": "xi",
    "π": "pi",
    "ρ": "rho",
    "σ": "sigma",
    "τ": "tau",
    "φ": "varphi",
    "ℓ": "ell",
    "∇": "nabla",
    "Σ": "Sigma",
}
SIGNS = {"‖": r"\Vert ", "−": "-", "·": r"\cdot ", "×": r"\times ", "≥": r"\ge ", "≤": r"\le "}
MATH = SIGNS | {letter: f"\\{name} " for letter, name in GREEK.items()}
TEXT = {  # in text, outside of mathematics
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\u00a0": "~",
    "…": r"\dots{}",
    "–": "--",
    "¼": r"$\tfrac14$",
    "½": r"$\tfrac12$",
    "±": r"$\pm$",
}
OUTSIDE = TEXT | {letter: f"${text.strip()}$" for letter, text in MATH.items()}
LETTERS = {f"\\{name}": letter for letter, name in GREEK.items()} | {
    r"\Vert": "‖",
    r"\mathrm": "",
    r"\sqrt": "√",
    r"\cdot": "·",
}
PLAIN = {"{": "", "}": "", "$": "", "\u00a0": " "}


def plain(caption: str) -> str:
    """A caption as plain text, its mathematics with letters instead of commands."""
    caption = re.sub(r"\\[a-zA-Z]+(?: (?=\w))?", lambda found: _letter(found[0]), caption)
    for sign, text in PLAIN.items():
        caption = caption.replace(sign, text)
    return caption + "\n"


def _letter(command: str) -> str:
    """The letter of a command of LaTeX; a command without one as it is."""
    return LETTERS.get(command.strip(), command)


def latex(caption: str) -> str:
    """A caption as text for LaTeX, for any of its engines."""
    pieces = caption.split("$")  # text and mathematics by turns
    made = [
        "".join((MATH if k % 2 else OUTSIDE).get(letter, letter) for letter in piece)
        for k, piece in enumerate(pieces)
    ]
    return "$".join(made).replace(" }", "}") + "\n"
