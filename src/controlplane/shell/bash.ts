/** Completion for bash 4 and later; needs no other package. */

import { allCommands, wordsOf, type CommandNode, type OptionNode } from './command-tree.ts'

/** Returns the script that `niveau3 completion bash` prints. */
export function bashCompletion(root: CommandNode): string {
  const commands = allCommands(root)
  const paths = commands.filter((node) => node !== root).map(({ path }) => `'${path}'`)
  return `# bash completion for ${root.name}
_${root.name}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]}
  local path=${root.name} words='' word
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
    case "$path $word" in
      ${paths.join(' | ')}) path="$path $word" ;;
    esac
  done
  case "$path $prev" in
${commands.flatMap(valueCases).join('\n')}
  esac
  case "$path" in
${commands.map(wordCase).join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _${root.name} ${root.name}
`
}

/** What follows an option that takes a value. */
function valueCases(node: CommandNode): string[] {
  return node.options
    .filter(({ name }) => name !== '')
    .map((option) => {
      const names = [option.long, option.short].filter((name) => name !== '')
      const patterns = names.map((name) => `'${node.path} ${name}'`).join(' | ')
      return `    ${patterns}) ${valueWords(option)}return ;;`
    })
}

function valueWords({ choices, isFile, isFolder }: OptionNode): string {
  if (choices.length > 0) {
    return `mapfile -t COMPREPLY < <(compgen -W '${choices.join(' ')}' -- "$cur"); `
  }
  if (!isFile && !isFolder) return ''
  const kind = isFolder ? '-d' : '-f'
  return `compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen ${kind} -- "$cur"); `
}

function wordCase(node: CommandNode): string {
  const words = wordsOf(node).map(({ word }) => word)
  const takesFile = node.arguments.some(({ isFile }) => isFile)
  const files = takesFile
    ? `\n      if [[ $cur != -* ]]; then\n        compopt -o filenames 2>/dev/null\n` +
      '        mapfile -t COMPREPLY < <(compgen -f -- "$cur")\n        return\n      fi\n      ;;'
    : ' ;;'
  return `    '${node.path}') words='${words.join(' ')}'${files}`
}
