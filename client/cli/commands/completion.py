"""``jobctl completion``."""

from __future__ import annotations

import argparse

from .. import exits
from ..context import Context

_BASH = r"""# jobctl completion for bash: source <(jobctl completion bash)
_jobctl() {
    local line=${COMP_LINE:0:COMP_POINT} word head
    local -a words
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word=${words[-1]}
    mapfile -t COMPREPLY < <(jobctl __complete -- "${words[@]:1}" 2>/dev/null)
    head=${word%"${word##*[:=]}"}  # readline completes only what follows the last of its word breaks
    [[ $COMP_WORDBREAKS == *[:=]* ]] && COMPREPLY=("${COMPREPLY[@]#"$head"}")
}
complete -o bashdefault -o default -F _jobctl jobctl
"""
_ZSH = r"""#compdef jobctl
# jobctl completion for zsh: source <(jobctl completion zsh), after compinit
_jobctl() {
    local -a found
    found=("${(@f)$(jobctl __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n ${found[1]} ]]; then compadd -- "${found[@]}"; else _files; fi
}
compdef _jobctl jobctl
"""
_FISH = r"""# jobctl completion for fish: jobctl completion fish | source
function __jobctl_complete
    set -l words (commandline -opc) (commandline -ct)
    jobctl __complete -- $words[2..-1] 2>/dev/null
end
complete -c jobctl -a '(__jobctl_complete)'
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
_EXAMPLES = """Completes verbs, options, states, ids, jobs, queues and pools.

examples:
  source <(jobctl completion bash)
  jobctl completion zsh > ~/.zfunc/_jobctl
  jobctl completion fish > ~/.config/fish/completions/jobctl.fish"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [options] bash|zsh|fish"
    parser.add_argument("shell", metavar="SHELL", choices=tuple(_SCRIPTS), help="bash, zsh or fish")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    context.out.block(_SCRIPTS[args.shell].rstrip("\n"))
    return exits.OK
