/**
 * Where a comment starts in a line of a settings or zone file: at the first `sign` outside quotes
 * and escapes; the line's length where there is none. A loop, since a pattern would need as much
 * stack as the line has signs.
 */
export function commentStart(line: string, sign: string, quotes: string): number {
  let quote = ''
  for (let i = 0; i < line.length; i += 1) {
    const char = line.charAt(i)
    if (char === '\\') i += 1
    else if (quote !== '') quote = char === quote ? '' : quote
    else if (quotes.includes(char)) quote = char
    else if (char === sign) return i
  }
  return line.length
}
