/** A promise that its maker settles: how tests hold something back and let it go on demand. */
export class Gate<Value = void> {
  readonly opened: Promise<Value>
  #open!: (value: Value) => void
  #fail!: (reason: Error) => void

  constructor() {
    this.opened = new Promise<Value>((resolve, reject) => {
      this.#open = resolve
      this.#fail = reject
    })
  }

  open(value: Value): void {
    this.#open(value)
  }

  fail(reason: Error): void {
    this.#fail(reason)
  }
}

/** Rejects with `what` unless `work` settles in time; the timer never outlives it. */
export async function within<Value>(
  timeoutMs: number,
  what: string | (() => string),
  work: Promise<Value>,
): Promise<Value> {
  const late = new Gate<never>()
  const timer = setTimeout(() => {
    late.fail(new Error(`${typeof what === 'string' ? what : what()} (after ${timeoutMs} ms)`))
  }, timeoutMs)
  try {
    return await Promise.race([work, late.opened])
  } finally {
    clearTimeout(timer)
  }
}
