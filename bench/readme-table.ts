/** README keeps each benchmark's tables between two markers; the benchmark writes them there. */

/**
 * Returns README's text with the tables between `<!-- bench:NAME -->` and its end, or undefined
 * where it has no such markers.
 */
export function withTable(readme: string, name: string, tables: string): string | undefined {
  const marker = `<!-- bench:${name} -->`
  const start = readme.indexOf(marker)
  const end = readme.indexOf(`<!-- /bench:${name} -->`)
  if (start === -1 || end < start) return undefined
  return `${readme.slice(0, start + marker.length)}\n${tables.trim()}\n${readme.slice(end)}`
}
