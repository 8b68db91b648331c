/** Ctrl-C while a command runs that ends by itself, at its next step. */

/** Ends the command by a signal; the second Ctrl-C ends it at once. */
export class Interruption {
  readonly #controller = new AbortController()
  readonly #listener = (): void => this.#controller.abort(new Error('interrupted'))

  constructor() {
    process.once('SIGINT', this.#listener)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** As if Ctrl-C had been pressed. */
  interrupt(): void {
    this.#listener()
  }

  end(): void {
    process.off('SIGINT', this.#listener)
  }
}
