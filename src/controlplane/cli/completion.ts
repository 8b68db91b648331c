/** `niveau3 completion` and `niveau3 manpage`: written from the commands themselves. */

import { Argument, type Command } from 'commander'
import { bashCompletion } from '../shell/bash.ts'
import { commandTree, type CommandNode } from '../shell/command-tree.ts'
import { fishCompletion } from '../shell/fish.ts'
import { manualPage } from '../shell/manual.ts'
import { zshCompletion } from '../shell/zsh.ts'
import { packageVersion } from '../version.ts'
import { finish, printJson, type Cli } from './cli.ts'

const SHELLS: Readonly<Record<string, (root: CommandNode) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
}

interface Options {
  readonly json?: boolean
}

/** Adds both commands; they read the program when they run, so that they know all others. */
export function addCompletion(program: Command, { terminal }: Cli): void {
  const completion = program
    .command('completion')
    .description('print the completion script of a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(SHELLS)))
    .action((shell: string, { json }: Options) => {
      const script = SHELLS[shell]?.(commandTree(program)) ?? ''
      if (json) printJson(terminal, 'completion', { shell, script })
      else terminal.out(script)
    })
  finish(completion, [
    'niveau3 completion bash > /usr/share/bash-completion/completions/niveau3',
    'niveau3 completion fish',
  ])
  const manual = program
    .command('manpage')
    .description('print the manual page niveau3(1)')
    .action(({ json }: Options) => {
      const page = manualPage(commandTree(program), packageVersion())
      if (json) printJson(terminal, 'manpage', { page })
      else terminal.out(page)
    })
  finish(manual, ['niveau3 manpage', 'niveau3 manpage > niveau3.1'])
}
