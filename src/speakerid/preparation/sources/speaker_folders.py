"""Find the folder level of the speakers, below folders such as train and test, male and female, or wav."""

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from speakerid.base.printing import printable
from speakerid.preparation.sources.path_rules import PathLabels, Rule
from speakerid.preparation.sources.walk import Folder, Remarks

_PARTS = (
    r"(train(ing)?|trn|test(ing)?|tst|dev(el|elopment)?|val(id|idation)?|eval(uation)?|enrol(l|l?ment)?|held[-_ ]?out)"
    r"(set|data)?([-_. ]?[0-9]+|[-_. ](set|data|part|split|clean|other|known|unknown|[a-z]{1,2}))*"
)
_SOUND = (
    r"(wavs?|waves?|audios?|flacs?|mp3s?|sph)[-_ ]?([0-9]+k?(hz)?)?|sounds?|data|corpus|clips|recordings|speech"
    r"|speechdata|speakers|spks|voices|raw"
)
_SEX = r"(fe)?males?|(wo)?m[ae]n|boys|girls|gender[-_ ]?\w+"
_DIALECT = r"dr[0-9]"
_SESSION = (
    r"((session|sess|ses|day|visit|meeting|recording|rec|take|week|month|year|date|round|trial)[-_ ]?[0-9]+"
    r"|(19|20)[0-9]{2}[-_.]?[0-9]{2}[-_.]?[0-9]{2}|(mon|tues|wednes|thurs|fri|satur|sun)day)"
)
_GROUP = (
    r"(un)?(seen|known)|clean|nois[ey]|original|augmented|enhanced|adults?|child(ren)?|kids|elderly|young|old|native"
    r"|weiblich|männlich|frauen|männer|femmes|hommes|mujeres|hombres"
    r"|english|german|french|spanish|italian|portuguese|dutch|russian|mandarin|chinese|japanese|korean|arabic|hindi"
    r"|(fold|part|split|sub)?(set|group|batch|fold|part|split|mic|microphone|disc|disk|cd|vol|volume|room)"
    r"[-_ ]?[a-z0-9]{1,2}"
)
MAX_STRAYS = 0.1
"""Maximum share of recordings that may not fit the layout of the others."""
_ABOVE = re.compile(rf"{_PARTS}|{_SOUND}|{_SEX}|{_DIALECT}", re.I)
"""Names of folders that contain speakers and are not speakers themselves."""
_MAYBE = re.compile(rf"{_ABOVE.pattern}|{_GROUP}|[a-z]{{2}}([-_][a-z]{{2,4}})?|[mf]|{_SESSION}|(19|20)[0-9]{{2}}", re.I)
"""`_ABOVE` and less certain names: groups, languages, sexes by a letter, sessions, years."""
_INNER = re.compile(rf"{_SESSION}|{_SOUND}|.*[0-9].*", re.I)
"""Names of folders that are common inside a speaker's folder."""


def folder_rule(folders: Sequence[Folder], remarks: Remarks) -> Rule:
    """Find the level of the speakers, below folders such as train and test, male and female, wav, or session1.

    Args:
        folders: folders of a source that does not fit another layout.
        remarks: collects how the folders were read and what is doubtful.
    """
    tree = [folder for folder in folders if folder.recordings and folder.parts]
    level = 0
    while _all_above(tree, level, _ABOVE) or _one_above(tree, level):
        level += 1
        tree = [folder for folder in tree if len(folder.parts) > level]
    if level:
        _note(tree, level, remarks)
    if (sessions := _all_above(tree, level, re.compile(_SESSION, re.I))) and _recur(tree, level):
        remarks.note(f"{_listed(sessions)} are read as sessions; the folders in them are the speakers")
        return level_rule(level + 2, session=level)
    _doubt(tree, level, remarks)
    return level_rule(level + 1)


def level_rule(depth: int, session: int | None = None) -> Rule:
    """Rule for speakers at a folder depth, counted from 1; index `session` and the folders below are the session."""

    def rule(folders: tuple[str, ...], file: str) -> PathLabels | None:
        if len(folders) < depth:
            return None
        inner = (*folders[session : session + 1], *folders[depth:]) if session is not None else folders[depth:]
        # Some copies of TIMIT have every SPHERE file twice, the second time as NAME.WAV.wav.
        twice = re.fullmatch(r"(.+\.wav)\.wav", file, re.I)
        utterance = "/".join((*folders, twice[1])) if twice else None
        return PathLabels(folders[depth - 1], sys.intern("/".join(inner)) or None, utterance, int(twice is not None))

    return rule


def _all_above(tree: Sequence[Folder], level: int, pattern: re.Pattern[str]) -> Counter[str]:
    """Count recordings by folder name at a level; empty unless all names match and nearly all recordings are deeper."""
    names, loose = Counter[str](), 0
    for folder in tree:
        if not pattern.fullmatch(folder.parts[level]):
            return Counter()
        names[folder.parts[level]] += len(folder.recordings)
        loose += len(folder.recordings) if len(folder.parts) == level + 1 else 0
    return names if loose <= MAX_STRAYS * names.total() and loose < names.total() else Counter()


def _one_above(tree: Sequence[Folder], level: int) -> bool:
    """Whether all folders are in one, such as that of the corpus, whose subfolders contain the speakers."""
    if len({folder.parts[level] for folder in tree}) != 1 or any(len(f.parts) == level + 1 for f in tree):
        return False
    return bool(_all_above(tree, level + 1, _ABOVE))


def _recur(tree: Sequence[Folder], level: int) -> bool:
    """Whether most folder names one level deeper occur in several of the folders at a level."""
    above: dict[str, set[str]] = {}
    for folder in tree:
        if len(folder.parts) > level + 1:
            above.setdefault(folder.parts[level + 1], set()).add(folder.parts[level])
    return sum(len(found) > 1 for found in above.values()) * 2 > len(above)


def _note(tree: Sequence[Folder], level: int, remarks: Remarks) -> None:
    """Report how the folders above the speakers were read."""
    names = [_listed(dict.fromkeys(folder.parts[above] for folder in tree)) for above in range(level)]
    remarks.note(
        f"{' / '.join(names)}: not read as speakers; the folders in them are the speakers (else: --layout folders:1)"
    )
    for above in range(level):
        _note_parts(tree, above, level, remarks)


def _note_parts(tree: Sequence[Folder], above: int, level: int, remarks: Remarks) -> None:
    """Report that the source's own division into train and test is not kept."""
    counts, parts = Counter[str](), defaultdict[str, set[str]](set)
    for folder in tree:
        counts[folder.parts[above]] += len(folder.recordings)
        parts[folder.parts[level]].add(folder.parts[above])
    if len(counts) > 1 and any(re.fullmatch(_PARTS, name, re.I) for name in counts):
        shares = ", ".join(f"{printable(name)} {count:,}" for name, count in list(counts.items())[:5])
        several = sum(len(found) > 1 for found in parts.values())
        remarks.note(
            f"the source's own parts are joined ({shares} recordings; speakers in several parts: {several:,}); "
            "to avoid this, prepare each one separately"
        )


def _doubt(tree: Sequence[Folder], level: int, remarks: Remarks) -> None:
    """Report speakers with names that are unusual for speakers, and levels where the speakers might be instead."""
    speakers = dict.fromkeys(folder.parts[level] for folder in tree if len(folder.parts) > level)
    deeper = any(len(folder.parts) > level + 1 for folder in tree)
    odd = [name for name in speakers if _ABOVE.fullmatch(name)]
    if deeper and not odd and all(_MAYBE.fullmatch(name) for name in speakers):
        odd = list(speakers)
    if len(speakers) == 1 and deeper and not odd:
        only = next(iter(speakers))
        remarks.doubt(
            f"only one speaker; if the folders in {printable(only)} are the speakers, use --layout folders:{level + 2}"
        )
    elif odd:
        remarks.note(_taken(odd, level))
    elif deeper and len(speakers) > 1:
        inner = {folder.parts[level + 1] for folder in tree if len(folder.parts) > level + 1}
        sessions = [name for name in inner if _INNER.fullmatch(name)]
        if len(inner) > len(speakers) and (len(sessions) < len(inner) if _recur(tree, level) else not sessions):
            remarks.note(_taken(list(speakers), level))


def _taken(names: Sequence[str], level: int) -> str:
    many = len(names) > 1
    return (
        f"{_listed(names)} {'were' if many else 'was'} read as {'speakers' if many else 'a speaker'}; "
        f"if the folders in {'them' if many else 'it'} are the speakers, use --layout folders:{level + 2}"
    )


def _listed(names: Iterable[str]) -> str:
    printed = [printable(name) for name in names]
    return ", ".join(printed[:5]) + (f" and {len(printed) - 5:,} more" if len(printed) > 5 else "")
