/** What the supervisor and a worker say to each other. All values can be posted between threads. */
import type { AddressRanges } from './address-table.ts'
import type { ErrorCode } from '../base/errors.ts'
import type { Counters } from './counters.ts'
import type { ObservedKind, ObservedStart } from './observed-queries.ts'
import type { OverlayMessage } from './policy/overlay.ts'
import type { RecentNamesMemory } from './recent-names.ts'
import type { DataplaneSettings, Endpoint, ListenSettings } from './settings.ts'
import type { RedisSettings, TlsIdentity } from './settings.ts'
import type { Trie } from '../trie/open.ts'

/** Everything that decides verdicts, made by the control plane, shared by all workers. */
export interface PolicyMessage {
  /** Opened by the control plane: a worker takes its tables as they are. */
  readonly trie: Trie
  /** Wire names, lower case, one after another. */
  readonly essentialNames: Uint8Array
  /** Rules on the addresses of answers: bits of categories, and private networks; null: none. */
  readonly addresses: AddressRanges | null
  /** Wire names like the essential ones: their answers may lead into private networks. */
  readonly privateZones: Uint8Array
  /** What the operator has overruled. */
  readonly overlay: OverlayMessage
  /** Digest of image, essential names, addresses, overlay and policy configuration. */
  readonly stamp: string
}

/** The `workerData` of a worker thread. */
export interface WorkerStart {
  readonly settings: DataplaneSettings
  readonly policy: PolicyMessage
  readonly counters: Counters
  /** Binds with SO_REUSEPORT, because other workers bind the same ports. */
  readonly shared: boolean
  /** Undefined when no listener is encrypted. */
  readonly tls: TlsIdentity | undefined
  /** Sockets that the worker may keep open towards all its upstreams. */
  readonly upstreamPortsMax: number
  /** Where the worker notes the descriptors that it opens besides Node: see `DescriptorLedger`. */
  readonly ledger: Int32Array
  /** Bound by the supervisor; undefined: the worker binds by itself. */
  readonly descriptors: Descriptors | undefined
  /** Where the worker notes which names were asked, hashed; undefined: nowhere. */
  readonly recent?: RecentNamesMemory | undefined
  /** What an operator looks at in this moment; undefined: nothing. */
  readonly observed?: readonly ObservedStart[]
  /** Undefined: no shared cache. */
  readonly redis: RedisSettings | undefined
}

/** The sockets of all listen addresses, and which of them a worker has taken over. */
export interface Descriptors {
  readonly pairs: readonly DescriptorPair[]
  /**
   * Two numbers a pair, UDP and TCP, in shared memory: 1 from just before the worker hands the
   * descriptor to Node, which closes it when the thread ends. What a worker leaves at 0 when it
   * dies is the supervisor's to close.
   */
  readonly adopted: Int32Array
}

/** Two sockets of one listen address; the supervisor keeps descriptors of its own of both. */
export interface DescriptorPair {
  /** Undefined for encrypted listeners. */
  readonly udp: number | undefined
  readonly tcp: number
}

export type ToWorker =
  | {
      readonly kind: 'reload'
      readonly settings: DataplaneSettings
      readonly policy: PolicyMessage
    }
  | {
      /** Rules or pauses have changed, and nothing else. */
      readonly kind: 'overrule'
      readonly overlay: OverlayMessage
      readonly stamp: string
    }
  | {
      /** Addresses have come or gone; those that have gone are closed first. */
      readonly kind: 'listen'
      readonly close: readonly Endpoint[]
      readonly open: readonly ListenSettings[]
      /** Of `open`, in its order. */
      readonly descriptors: Descriptors | undefined
    }
  | { readonly kind: 'observe'; readonly start: ObservedStart }
  | { readonly kind: 'observe-end'; readonly what: ObservedKind }
  | { readonly kind: 'certificate'; readonly tls: TlsIdentity }
  | { readonly kind: 'stop'; readonly graceMs: number }

export type FromWorker =
  | {
      readonly kind: 'ready'
      readonly endpoints: readonly ListenSettings[]
      /** The worker waits in a loop of its own while there is traffic, not in that of Node. */
      readonly hasOwnLoop: boolean
    }
  | { readonly kind: 'reloaded' }
  | { readonly kind: 'overruled' }
  | { readonly kind: 'listening' }
  | { readonly kind: 'observed' }
  | { readonly kind: 'certified' }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string }
