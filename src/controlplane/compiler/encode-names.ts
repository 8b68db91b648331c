/** From resolved names to the sections that hold them. */

import { openModel } from '../../trie/code-model.ts'
import { openDictionary } from '../../trie/dictionary.ts'
import { SYMBOL_BOUNDARY } from '../../trie/layout.ts'
import { chooseSuffixes } from './choose-suffixes.ts'
import type { SuffixChoice } from './choose-suffixes.ts'
import { codeNames, sortCodes } from './name-codes.ts'
import { packBlocks } from './pack-blocks.ts'
import type { ResolvedNames } from './resolve-rules.ts'
import { makeSequences } from './symbol-sequences.ts'
import type { CodedNames } from './symbol-sequences.ts'
import { trainModel } from './train-model.ts'
import { writeDoor } from './write-door.ts'
import { NO_VALUE, writeDictionary, writeModel } from './write-model.ts'

/** The sections that hold the names. */
export interface EncodedNames {
  readonly dictionary: Uint8Array
  readonly model: Uint8Array
  readonly heads: Int32Array
  readonly fingers: Uint8Array
  readonly recordStarts: Uint32Array
  readonly records: Uint32Array
  readonly plain: Uint8Array
  readonly door: Uint32Array
}

/** Chooses the codes for these names and writes the names in them. */
export function encodeNames(resolved: ResolvedNames): EncodedNames {
  const choice = chooseSuffixes(resolved)
  const coded = makeSequences(resolved, choice)
  const model = writeModel(coded.alphabet, trainModel(coded))
  const dictionary = encodeDictionary(resolved, choice)
  const codes = codeNames(
    coded,
    choice,
    openModel(model, unreadable),
    openDictionary(dictionary, resolved.values.length, unreadable),
  )
  const valueOf = Uint16Array.from(coded.indexOf, (index) => resolved.valueOf[index]!)
  const valueBits = 32 - Math.clz32(Math.max(0, resolved.values.length - 2))
  const packed = packBlocks(codes, sortCodes(codes), valueOf, deepOnes(coded), valueBits)
  const tooLong = coded.indexOf.filter((_, sequence) => codes.bits[sequence] === 0)
  const left = packed.left.map((sequence) => coded.indexOf[sequence]!)
  const plain = encodePlain(resolved, [...coded.plain, ...tooLong, ...left])
  return { dictionary, model, plain, door: writeDoor(resolved, choice), ...packed.sections }
}

/** 1 for each sequence of more than one label. */
function deepOnes({ flat, starts, indexOf }: CodedNames): Uint8Array {
  const deep = new Uint8Array(indexOf.length)
  for (let sequence = 0; sequence < deep.length; sequence++) {
    const symbols = flat.subarray(starts[sequence], starts[sequence + 1])
    if (symbols.includes(SYMBOL_BOUNDARY)) deep[sequence] = 1
  }
  return deep
}

function encodeDictionary(resolved: ResolvedNames, choice: SuffixChoice): Uint8Array {
  const nodes = choice.parents.length
  const uses = new Uint32Array(nodes)
  const values = new Int32Array(nodes).fill(NO_VALUE)
  for (let index = 0; index < resolved.stored.length; index++) {
    const node = choice.nodeOf[index]!
    if (choice.restOctets[index] === 0) values[node] = resolved.valueOf[index]!
    else uses[node]!++
  }
  return writeDictionary(choice, uses, values)
}

/** Writes the plain names: their count, then value and wire name of each, in octet order. */
function encodePlain(resolved: ResolvedNames, indexes: readonly number[]): Uint8Array {
  const { names, stored, valueOf } = resolved
  const entries = indexes.map((index) => {
    const start = names.start(stored[index]!)
    const name = names.arena.subarray(start, start + names.octets(stored[index]!))
    return { name, value: valueOf[index]! }
  })
  entries.sort((a, b) => Buffer.compare(a.name, b.name))
  const count = Buffer.alloc(4)
  count.writeUInt32LE(entries.length)
  const parts = entries.flatMap(({ name, value }) => [
    Uint8Array.of(value & 255, value >>> 8),
    name,
  ])
  return Buffer.concat([count, ...parts])
}

/** The compiler reads back what it wrote a moment ago: a failure is our own mistake. */
function unreadable(what: string): Error {
  return new Error(`the compiler wrote what it cannot read: ${what}`)
}
