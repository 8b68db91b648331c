/** The console blocks of a Markdown page: commands behind `$ `, each followed by its output. */

/** A command and what the page says that it prints. */
export interface ConsoleStep {
  readonly command: string
  readonly output: readonly string[]
}

const BLOCK_START = '```console'
const BLOCK_END = '```'
const PROMPT = '$ '

/**
 * Runs every command of the page, in order, and returns the page with the output that came: equal
 * to the page where that says the truth.
 *
 * @param run returns the lines that a step prints, in the page's own words where they mean the same.
 */
export async function replayConsole(
  page: string,
  run: (step: ConsoleStep) => Promise<readonly string[]>,
): Promise<string> {
  const lines: string[] = []
  let block: string[] | undefined
  for (const line of page.split('\n')) {
    if (block === undefined) {
      lines.push(line)
      if (line === BLOCK_START) block = []
    } else if (line === BLOCK_END) {
      lines.push(...(await replayBlock(stepsOf(block), run)), line)
      block = undefined
    } else {
      block.push(line)
    }
  }
  return lines.join('\n')
}

async function replayBlock(
  steps: readonly ConsoleStep[],
  run: (step: ConsoleStep) => Promise<readonly string[]>,
): Promise<string[]> {
  const lines: string[] = []
  let printed = 0
  for (const step of steps) {
    if (printed > 0) lines.push('')
    const output = trimmed(await run(step))
    lines.push(`${PROMPT}${step.command}`, ...output)
    printed = output.length
  }
  return lines
}

function stepsOf(block: readonly string[]): readonly ConsoleStep[] {
  const steps: { command: string; output: string[] }[] = []
  for (const line of block) {
    if (line.startsWith(PROMPT)) steps.push({ command: line.slice(PROMPT.length), output: [] })
    else if (steps.length === 0) throw new Error(`a console block begins with output: ${line}`)
    else steps.at(-1)!.output.push(line)
  }
  return steps.map(({ command, output }) => ({ command, output: trimmed(output) }))
}

/** Without blank lines at either end. */
function trimmed(lines: readonly string[]): string[] {
  const first = lines.findIndex((line) => line !== '')
  const last = lines.findLastIndex((line) => line !== '')
  return first === -1 ? [] : lines.slice(first, last + 1)
}

/** The page's own line wherever it differs from the new one only in what differs in each run. */
export function sameWords(
  before: readonly string[],
  after: readonly string[],
  essence: (line: string) => string,
): readonly string[] {
  return after.map((line, index) => {
    const old = before[index]
    return old !== undefined && essence(old) === essence(line) ? old : line
  })
}
