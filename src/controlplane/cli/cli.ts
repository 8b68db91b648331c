/** What every command is given, and how every command ends. */

import { CommanderError, InvalidArgumentError, type Command } from 'commander'
import { EXIT, OperationalError, type ExitCode } from '../../base/errors.ts'
import type { BlocklistFlag } from '../config/flags.ts'
import { ConfigError, formatProblem, type Problem } from '../config/problems.ts'
import type { Terminal } from './terminal.ts'

export interface Cli {
  readonly terminal: Terminal
  readonly environment: Readonly<Record<string, string | undefined>>
  /** All of standard input as text. */
  readonly readStdin: () => string
  /** Sets the exit code of a command that ends without an error. */
  readonly endWith: (code: ExitCode) => void
}

/** Adds `--json` and the examples, in the words that all commands share. */
export function finish(command: Command, examples: readonly string[]): Command {
  command.option('--json', 'print one JSON object, errors too')
  return command.addHelpText('after', exampleText(examples))
}

/** The examples of a help text. */
export function exampleText(examples: readonly string[]): string {
  return `\nExamples:\n${examples.map((example) => `  $ ${example}`).join('\n')}\n`
}

/** Prints the one object of `--json`. */
export function printJson(terminal: Terminal, schema: string, content: object): void {
  terminal.out(`${JSON.stringify({ schema: `niveau3.${schema}/1`, ...content }, undefined, 2)}\n`)
}

/** Collects a flag that may be given several times. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

/** Collects `--blocklist CATEGORY=FILE`. */
export function collectBlocklist(
  value: string,
  before: readonly BlocklistFlag[] = [],
): readonly BlocklistFlag[] {
  const equals = value.indexOf('=')
  if (equals < 1 || equals === value.length - 1) {
    throw new InvalidArgumentError('Write CATEGORY=FILE, such as adult=lists/adult.txt.gz.')
  }
  return [...before, { category: value.slice(0, equals), file: value.slice(equals + 1) }]
}

/**
 * Tells an error and returns the exit code for it.
 *
 * For people: one line on standard error for each thing that is wrong. With `--json`: one object on
 * standard output, `{schema, error: {code, message, file, line, column, problems}}`, nothing else.
 */
export function fail(error: unknown, isJson: boolean, terminal: Terminal): ExitCode {
  if (error instanceof CommanderError) {
    // Help and version end this way as well. Commander has written its message already.
    if (error.exitCode === 0) return EXIT.ok
    if (isJson) printError(terminal, 'ERR_USAGE', error.message.replace(/^error: /, ''))
    return EXIT.usage
  }
  if (error instanceof OperationalError) {
    const { code, message, file, line, column } = error
    const problems = error instanceof ConfigError ? error.problems.map(problemJson) : undefined
    if (isJson) printError(terminal, code, message, { file, line, column, problems })
    else terminal.err(`${errorLines(error, terminal)}\n`)
    return error.exitCode
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  if (isJson) printError(terminal, 'ERR_INTERNAL', text)
  else terminal.err(`${terminal.paintErr('red', 'error')}: a defect of niveau3: ${text}\n`)
  return EXIT.error
}

function printError(terminal: Terminal, code: string, message: string, facts = {}): void {
  printJson(terminal, 'error', { error: { code, message, ...facts } })
}

function errorLines(error: OperationalError, { paintErr }: Terminal): string {
  const word = paintErr('red', 'error')
  if (!(error instanceof ConfigError)) return `${word}: ${error.message}`
  const lines = error.problems.map((problem) => `${word}: ${formatProblem(problem)}`)
  if (lines.length > 1) lines.push(`${lines.length} problems in the configuration`)
  return lines.join('\n')
}

/** A problem as `--json` shows it: where it is, by file and line, variable or flag. */
export function problemJson({ code, message, suggestion, origin }: Problem): object {
  const place = {
    file: 'file' in origin ? origin.file : undefined,
    line: origin.kind === 'file' ? origin.line : undefined,
    column: origin.kind === 'file' ? origin.column : undefined,
    variable: origin.kind === 'environment' ? origin.name : undefined,
    flag: origin.kind === 'flag' ? origin.flag : undefined,
  }
  return { code, message, suggestion, ...place }
}
