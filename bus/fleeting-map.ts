/**
 * A map whose entries come and go by the thousands a second, and of which few are there at any time.
 *
 * V8's own Map makes itself a new table every so many insertions, and leaves in the old table a reference to the new one.
 * Once such a table is in the old generation, every later one is kept until the next full collection, with all that it
 * held when it was left: each young collection then copies thousands of entries that nobody needs. Here a table holds cells,
 * and a cell is emptied when its entry is deleted.
 */
export class FleetingMap<Value> {
  readonly #cells = new Map<string, Cell<Value>>()

  get size(): number {
    return this.#cells.size
  }

  has(key: string): boolean {
    return this.#cells.has(key)
  }

  get(key: string): Value | undefined {
    return this.#cells.get(key)?.value
  }

  /** Replaces what is there. */
  set(key: string, value: Value): void {
    const cell = this.#cells.get(key)
    if (cell === undefined) this.#cells.set(key, { value })
    else cell.value = value
  }

  /** Whether it was there. */
  delete(key: string): boolean {
    const cell = this.#cells.get(key)
    if (cell === undefined) return false
    cell.value = undefined
    return this.#cells.delete(key)
  }

  /** In the order in which they came; what is deleted meanwhile is left out. */
  keys(): IterableIterator<string> {
    return this.#cells.keys()
  }
}

type Cell<Value> = { value: Value | undefined }
