/** The commands as data, read from commander: what completions and the manual are written from. */

import type { Argument, Command, Option } from 'commander'

/** What may stand after an option, or as an argument. */
export interface ValueNode {
  /** The word between the brackets, such as `file`; empty for a switch. */
  readonly name: string
  readonly choices: readonly string[]
  readonly isFile: boolean
  readonly isFolder: boolean
}

/** One option with both of its spellings. */
export interface OptionNode extends ValueNode {
  readonly long: string
  /** `-c`, or empty. */
  readonly short: string
  /** As the help text spells it: `-c, --config <file>`. */
  readonly usage: string
  readonly summary: string
}

/** One command with everything below it. */
export interface CommandNode {
  /** All words that lead to it, the program's name first. */
  readonly path: string
  readonly name: string
  readonly summary: string
  /** Options and arguments as the help text spells them. */
  readonly usage: string
  readonly options: readonly OptionNode[]
  readonly arguments: readonly ValueNode[]
  readonly commands: readonly CommandNode[]
  /** Example command lines. */
  readonly examples: readonly string[]
}

/** Reads a command and all below it. */
export function commandTree(command: Command, above = ''): CommandNode {
  const path = `${above} ${command.name()}`.trim()
  const help = command.createHelp()
  return {
    path,
    name: command.name(),
    summary: command.description(),
    usage: command.usage(),
    options: help.visibleOptions(command).map(optionNode),
    arguments: command.registeredArguments.map(argumentNode),
    commands: command.commands.map((child) => commandTree(child, path)),
    examples: examplesOf(command),
  }
}

/** Returns a command and all below it, the upper ones first. */
export function allCommands(root: CommandNode): readonly CommandNode[] {
  return [root, ...root.commands.flatMap(allCommands)]
}

/** Words that may follow a command. */
export function wordsOf(node: CommandNode): readonly { word: string; summary: string }[] {
  return [
    ...node.commands.map(({ name, summary }) => ({ word: name, summary })),
    ...node.arguments.flatMap(({ choices }) => choices).map((word) => ({ word, summary: '' })),
    ...node.options.map(({ long, summary }) => ({ word: long, summary })),
  ]
}

function optionNode(option: Option): OptionNode {
  return {
    ...valueNode(/[<[]([^>\]]+)/.exec(option.flags)?.[1] ?? '', option.argChoices),
    long: option.long ?? option.short ?? '',
    short: option.long === undefined ? '' : (option.short ?? ''),
    usage: option.flags,
    summary: option.description,
  }
}

function argumentNode(argument: Argument): ValueNode {
  return valueNode(argument.name(), argument.argChoices)
}

function valueNode(name: string, choices: readonly string[] = []): ValueNode {
  return {
    name,
    choices,
    isFile: /file|image$/.test(name),
    isFolder: /^(dir|folder)$/.test(name),
  }
}

/** The lines of the help text that begin with the prompt. */
function examplesOf(command: Command): readonly string[] {
  let text = ''
  const before = command.configureOutput()
  command.configureOutput({ ...before, writeOut: (added) => void (text += added) })
  command.outputHelp()
  command.configureOutput(before)
  return [...text.matchAll(/^ {2}\$ (.*)$/gm)].map(([, line]) => line ?? '')
}
