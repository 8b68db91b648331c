/** Completion for fish 3 and later. */

import { allCommands, type CommandNode, type OptionNode } from './command-tree.ts'

/** Returns the script that `niveau3 completion fish` prints. */
export function fishCompletion(root: CommandNode): string {
  const commands = allCommands(root)
  const paths = commands.filter((node) => node !== root).map(({ path }) => quoted(path))
  const lines = commands.flatMap((node) => [
    ...node.commands.map(
      ({ name, summary }) => `${at(root, node)} -a ${quoted(name)} -d ${quoted(summary)}`,
    ),
    ...node.arguments.flatMap(({ choices, isFile }) => {
      if (choices.length > 0) return [`${at(root, node)} -a ${quoted(choices.join(' '))}`]
      return isFile ? [`${at(root, node)} -F`] : []
    }),
    ...node.options.map((option) => `${at(root, node)} ${optionWords(option)}`),
  ])
  return `# fish completion for ${root.name}
function __${root.name}_path
  set -l path ${root.name}
  for word in (commandline -opc)[2..-1]
    switch "$path $word"
      case ${paths.join(' ')}
        set path "$path $word"
    end
  end
  echo $path
end
complete -c ${root.name} -f
${lines.join('\n')}
`
}

function at(root: CommandNode, node: CommandNode): string {
  return `complete -c ${root.name} -n ${quoted(`test (__${root.name}_path) = "${node.path}"`)}`
}

function optionWords(option: OptionNode): string {
  const { long, short, name, choices, isFile, isFolder, summary } = option
  const names = `-l ${long.slice(2)}${short === '' ? '' : ` -s ${short.slice(1)}`}`
  return `${names}${valueWords(name, choices, isFile || isFolder)} -d ${quoted(summary)}`
}

function valueWords(name: string, choices: readonly string[], isPath: boolean): string {
  if (name === '') return ''
  if (choices.length > 0) return ` -x -a ${quoted(choices.join(' '))}`
  return isPath ? ' -r -F' : ' -x'
}

/** In single quotes, where only the quote and the backslash are special. */
function quoted(text: string): string {
  return `'${text.replaceAll('\\', String.raw`\\`).replaceAll("'", String.raw`\'`)}'`
}
