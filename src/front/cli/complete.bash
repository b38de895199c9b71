
# Bash breaks words at @ and : too, which are in the names of sources. The words are those between blanks, unless quotes are
# among them, and of what is offered bash gets the part after its own break.
_rokopia() {
    local line="${COMP_LINE:0:COMP_POINT}" word="$2"
    if [[ "$line" != *[\'\"\\]* ]]; then
        read -ra COMP_WORDS <<< "$line"
        [[ "$line" == *[[:blank:]] ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        word="${COMP_WORDS[COMP_CWORD]}"
    fi
    _clap_complete_rokopia "$1" "$word" "$3"
    COMPREPLY=("${COMPREPLY[@]#"${word%"$2"}"}")
}
complete -o nospace -o bashdefault -F _rokopia rokopia
