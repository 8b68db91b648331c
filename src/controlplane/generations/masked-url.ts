/** URLs for logs, tables and reports: what may be a secret in them is not shown. */

const MASK = '***'
/** Parameters whose values open doors; what else a query holds tells lists apart. */
const SECRET_PARAMETER =
  /(^|[_.-])(access|api|auth|client|private)?[_.-]?(key|token|secret|pass(word|wd)?|pwd|pw|auth|sig|signature|credentials?|session|jwt|code)$/i

/** Returns the URL without passwords, user names and tokens; what is no URL comes back as it is. */
export function maskedUrl(text: string): string {
  if (!URL.canParse(text)) return text
  const url = new URL(text)
  const isOpen = url.username === '' && url.password === '' && url.search === ''
  if (isOpen) return text
  if (url.username !== '') url.username = MASK
  if (url.password !== '') url.password = MASK
  for (const name of new Set(url.searchParams.keys())) {
    if (SECRET_PARAMETER.test(name)) url.searchParams.set(name, MASK)
  }
  return url.href.replaceAll('%2A%2A%2A', MASK)
}
