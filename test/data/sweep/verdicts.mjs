/**
 * The independent judge of the sweep: says for each asked name whether the rules of the product
 * block it, with nothing but a Map of names that is walked label by label. Shares no code with src.
 *
 *   node verdicts.mjs --essential FILE --suffixes FILE [--private-suffix ENTRY]...
 *                     --list CATEGORY=FILE... --ask FILE...
 *
 * Lists are plain: a name a line. Files may be gzip; an asked `.json` file holds its names in `list`.
 * Prints tab-separated lines:
 *
 *   refused   CATEGORY RULE SECTION   the rule is a public suffix of that section (icann, private)
 *   exempted  CATEGORY RULE           the rule is an essential name, or lies below one
 *   ask       NAME VERDICT CATEGORIES blocked (by these categories), allowed, or special
 */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

/** Categories that keep rules on private suffixes: their authors mean them. */
const KEEP_PRIVATE = new Set(['vpn', 'darkweb'])

/** Names that are never asked upstream and are no matter of lists. */
const SPECIAL = new Set([
  'onion',
  'invalid',
  'test',
  'local',
  'alt',
  'i2p',
  'localhost',
  'home.arpa',
  'resolver.arpa',
  'use-application-dns.net',
  'mask.icloud.com',
  'mask-h2.icloud.com',
  ...['0', '10', '127', '254.169', '168.192', '2.0.192', '100.51.198', '113.0.203'].map(reverse4),
  ...range(16, 31).map((octet) => reverse4(`${octet}.172`)),
  ...range(64, 127).map((octet) => reverse4(`${octet}.100`)),
  reverse4('255.255.255.255'),
  ...['c.f', 'd.f', '8.e.f', '9.e.f', 'a.e.f', 'b.e.f', '8.b.d.0.1.0.0.2'].map(reverse6),
  reverse6(Array(32).fill('0').join('.')),
  reverse6(['1', ...Array(31).fill('0')].join('.')),
])

function range(first, last) {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

function reverse4(octets) {
  return `${octets}.in-addr.arpa`
}

function reverse6(nibbles) {
  return `${nibbles}.ip6.arpa`
}

function readText(file) {
  const octets = readFileSync(file)
  return (file.endsWith('.gz') ? gunzipSync(octets) : octets).toString('utf8')
}

/** A line without comment, blanks, wildcard and final dot, in lower case. */
function nameOf(line) {
  return line
    .replace(/(^|\s)#.*$/, '')
    .trim()
    .toLowerCase()
    .replace(/^\*?\./, '')
    .replace(/\.$/, '')
}

function namesIn(file) {
  const text = readText(file)
  if (/\.json(\.gz)?$/.test(file)) return JSON.parse(text).list.map(nameOf)
  return text
    .split(/\r?\n/)
    .map(nameOf)
    .filter((name) => name !== '')
}

/** The name itself, then each of its parents, the shortest last. */
function* upwards(name) {
  yield name
  for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
    yield name.slice(dot + 1)
  }
}

function coveredBy(set, name) {
  for (const parent of upwards(name)) if (set.has(parent)) return true
  return false
}

/** Every entry of the Public Suffix List with its section; `*.x` also makes x one. */
function readSuffixes(file, morePrivate) {
  const suffixes = new Map()
  const wildcards = new Map()
  const exceptions = new Set()
  let section = 'icann'
  for (const line of [...readText(file).split(/\r?\n/), ...morePrivate]) {
    if (line.includes('===BEGIN PRIVATE DOMAINS===')) section = 'private'
    const entry = line.trim()
    if (entry === '' || entry.startsWith('//')) continue
    if (entry.startsWith('!')) exceptions.add(toAscii(entry.slice(1)))
    else if (entry.startsWith('*.')) wildcards.set(toAscii(entry.slice(2)), section)
    else suffixes.set(toAscii(entry), section)
  }
  return (name) => {
    if (exceptions.has(name)) return undefined
    const parent = name.slice(name.indexOf('.') + 1)
    return suffixes.get(name) ?? wildcards.get(parent) ?? wildcards.get(name)
  }
}

function toAscii(name) {
  return /^[\x21-\x7e]+$/.test(name) ? name : new URL(`http://${name}/`).hostname
}

function argumentsOf(argv) {
  /** @type {{ lists: [string, string][], asked: string[], more: string[], essential: string,
   *   suffixes: string }} */
  const found = { lists: [], asked: [], more: [], essential: '', suffixes: '' }
  for (let at = 0; at < argv.length; at += 2) {
    const [flag, value] = [argv[at], argv[at + 1]]
    if (flag === '--list') found.lists.push(splitAt(value, value.indexOf('=')))
    else if (flag === '--ask') found.asked.push(value)
    else if (flag === '--essential') found.essential = value
    else if (flag === '--suffixes') found.suffixes = value
    else if (flag === '--private-suffix') found.more.push(value)
    else throw new Error(`unknown argument ${flag}`)
  }
  return found
}

/** @returns {[string, string]} */
function splitAt(text, at) {
  return [text.slice(0, at), text.slice(at + 1)]
}

function main() {
  const given = argumentsOf(process.argv.slice(2))
  const essential = new Set(namesIn(given.essential))
  const suffixOf = readSuffixes(given.suffixes, given.more)
  const out = []
  const blocked = new Map()
  for (const [category, file] of given.lists) {
    for (const rule of namesIn(file)) {
      // One label is a top-level domain or nothing; four numbers are an address.
      if (!rule.includes('.') || /^\d+\.\d+\.\d+\.\d+$/.test(rule)) continue
      const section = suffixOf(rule)
      if (section === 'icann' || (section === 'private' && !KEEP_PRIVATE.has(category))) {
        out.push(`refused\t${category}\t${rule}\t${section}`)
      } else if (coveredBy(essential, rule)) {
        out.push(`exempted\t${category}\t${rule}`)
      } else if (blocked.get(rule)?.includes(category) !== true) {
        blocked.set(rule, [...(blocked.get(rule) ?? []), category])
      }
    }
  }
  for (const name of new Set(given.asked.flatMap(namesIn))) {
    const categories = new Set()
    for (const parent of upwards(name)) {
      for (const category of blocked.get(parent) ?? []) categories.add(category)
    }
    let verdict = 'allowed'
    if (coveredBy(SPECIAL, name)) verdict = 'special'
    else if (categories.size > 0 && !coveredBy(essential, name)) verdict = 'blocked'
    out.push(`ask\t${name}\t${verdict}\t${[...categories].join(',')}`)
  }
  process.stdout.write(`${out.join('\n')}\n`)
}

main()
