/**
 * An effect is something a machine asks of the world. The machine names it and says with what; it does nothing here. The
 * actor that runs the machine performs it.
 */
export const effect =
  <Params = undefined>() =>
  (_: unknown, _params: Params): void => {}

/** The effects of one machine, by name: `{ startProcess: effect(), deliver: effect<{ requestId: string }>() }`. */
// biome-ignore lint/suspicious/noExplicitAny: the parameters differ from effect to effect; EffectTable gives them back
export type Effects = Record<string, (_: unknown, params: any) => void>

/**
 * The duty to perform every effect a machine names: the actor's side of the contract. Derived, so that a missing,
 * misspelt or superfluous duty does not compile. `instance` is the id of the machine that asks.
 */
export type EffectTable<E extends Effects> = {
  [Name in keyof E]: E[Name] extends (_: unknown, params: infer Params) => void
    ? (params: Params, instance: string) => void | Promise<void>
    : never
}

/** Ties a machine to the effects that it names, so that whoever hosts it can be held to all of them. */
export const withEffects = <Machine extends object, E extends Effects>(
  machine: Machine,
  effects: E,
): Machine & { readonly effects: E } => Object.assign(machine, { effects })
