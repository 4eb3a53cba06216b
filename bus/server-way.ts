/** A way to a nats-server binary: what the ways have in common. */

/** What is being done now, for a progress bar. `totalBytes` is absent when nobody said how much there is. */
export type OnProgress = (what: string, doneBytes?: number, totalBytes?: number) => void

/** A way that led nowhere, and why. */
export type Tried = { way: string; why: string }

/** Nothing can be had this way; the next one is tried. */
export class DeadEnd extends Error {
  override readonly name = 'DeadEnd'
  readonly code = 'NATS_SERVER_DEAD_END'
  readonly tried: Tried[]

  constructor(...tried: Tried[]) {
    super(tried.map(({ way, why }) => `${way}: ${why}`).join('; '))
    this.tried = tried
  }
}
