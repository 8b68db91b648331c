/** The place of one worker: what stays when its thread dies, and what comes with the next. */
import type { Worker } from 'node:worker_threads'
import { createCounters, type Counters } from '../../dataplane/counters.ts'
import type { Descriptors, FromWorker } from '../../dataplane/messages.ts'
import { createRecentNames, type RecentNamesMemory } from '../../dataplane/recent-names.ts'
import { DescriptorLedger, createLedgerWords } from '../../sys/descriptor-ledger.ts'
import { descriptorsMax } from './descriptors.ts'

/** One place for a worker: its thread changes when it dies, its counters stay. */
export interface Slot {
  readonly index: number
  readonly counters: Counters
  readonly recent: RecentNamesMemory
  /** What its thread has opened besides Node: closed after it. */
  readonly ledger: DescriptorLedger
  thread: Worker | null
  /** The thread has bound its addresses and answers. */
  ready: boolean
  /** Descriptors given to the thread; those that it did not take over are closed after it. */
  readonly lent: Descriptors[]
  /** Resolve the waits for the thread's next answers, which come in the order of the questions. */
  answers: ((message: FromWorker) => void)[]
}

/** Makes an empty place; `recentKey` is that of all places. */
export function createSlot(index: number, recentKey: Uint8Array): Slot {
  const counters = createCounters()
  const ledger = new DescriptorLedger(createLedgerWords(descriptorsMax()))
  const recent = createRecentNames(recentKey)
  return { index, counters, recent, ledger, thread: null, ready: false, lent: [], answers: [] }
}
