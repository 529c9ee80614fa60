# Completion of kmstwist for fish.
function _kmstwist_completion
    set -l words (commandline --current-process --cut-at-cursor)
    set -l word (commandline --current-token --cut-at-cursor)
    set -lx COMP_WORDS "$words"
    set -lx COMP_CWORD "$word"
    set -lx _KMSTWIST_COMPLETE fish_complete
    for completion in (kmstwist 2>/dev/null)
        # A name may have commas.
        set -l parts (string split --max 1 "," $completion)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain
                echo $parts[2]
        end
    end
end
complete --no-files --command kmstwist --arguments "(_kmstwist_completion)"
