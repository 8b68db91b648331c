/** Completion for zsh: a file of `fpath`, or text to be sourced. */

import { allCommands, wordsOf, type CommandNode, type OptionNode } from './command-tree.ts'

/** Returns the script that `niveau3 completion zsh` prints. */
export function zshCompletion(root: CommandNode): string {
  const commands = allCommands(root)
  const paths = commands.filter((node) => node !== root).map(({ path }) => quoted(path))
  return `#compdef ${root.name}
_${root.name}() {
  local at=${root.name} word
  local -a found
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$at $word" in
      (${paths.join('|')}) at="$at $word" ;;
    esac
  done
  case "$at \${words[CURRENT-1]}" in
${commands.flatMap(valueCases).join('\n')}
  esac
  case "$at" in
${commands.map(wordCase).join('\n')}
  esac
  _describe -t commands '${root.name}' found
}
if [[ "$funcstack[1]" = "_${root.name}" ]]; then
  _${root.name} "$@"
else
  compdef _${root.name} ${root.name}
fi
`
}

function valueCases(node: CommandNode): string[] {
  return node.options
    .filter(({ name }) => name !== '')
    .map((option) => {
      const names = [option.long, option.short].filter((name) => name !== '')
      const patterns = names.map((name) => quoted(`${node.path} ${name}`)).join('|')
      return `    (${patterns}) ${valueWords(option)}return ;;`
    })
}

function valueWords({ choices, isFile, isFolder, name }: OptionNode): string {
  if (choices.length > 0) {
    return `found=(${choices.map(quoted).join(' ')}); _describe ${quoted(name)} found; `
  }
  if (isFolder) return '_files -/; '
  return isFile ? '_files; ' : `_message ${quoted(name)}; `
}

function wordCase(node: CommandNode): string {
  const words = wordsOf(node).map(({ word, summary }) => {
    const name = word.replaceAll(':', String.raw`\:`)
    return `      ${quoted(summary === '' ? name : `${name}:${summary}`)}`
  })
  const files = node.arguments.some(({ isFile }) => isFile)
    ? '\n      [[ $PREFIX == -* ]] || _files'
    : ''
  return `    (${quoted(node.path)}) found=(\n${words.join('\n')}\n      )${files}\n      ;;`
}

/** In single quotes, where nothing is expanded. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`
}
