/** `niveau3 config schema`: the JSON Schema of niveau3.yaml, for editors and other tools. */

import type { Command } from 'commander'
import { schemaFile } from '../config/reference.ts'
import { finish, printJson, type Cli } from './cli.ts'

/** Adds the command. */
export function addConfigSchema(config: Command, { terminal }: Cli): void {
  const command = config
    .command('schema')
    .description('print the JSON Schema of niveau3.yaml')
    .action((options: { readonly json?: boolean }) => {
      const text = schemaFile()
      const jsonSchema: unknown = JSON.parse(text)
      if (options.json) printJson(terminal, 'config-schema', { jsonSchema })
      else terminal.out(text)
    })
  finish(command, ['niveau3 config schema > niveau3.schema.json'])
}
