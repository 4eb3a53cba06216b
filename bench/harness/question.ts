/** What a question is, and what its answer looks like: rows of figures with a floor, and tables without one. */

export type Figures = number[]

/** How far ours may be from the floor or, where there is none, from zero. */
export type Reach = {
  at: 'most' | 'least'
  limit: number
  of: 'times the floor' | 'more than the floor' | 'in all'
}

export type Row = {
  what: string
  unit: 'ms' | 'invokes/s' | 'events/s' | 'records/s' | 'MB' | 'kB' | 'µs' | 'errors'
  floor?: { what: string; figures: Figures }
  /** Absent when only the floors were measured. */
  ours?: Figures | undefined
  reach?: Reach
}

export type Table = { title: string; head: string[]; lines: (string | number)[][] }

export type Answer = { rows: Row[]; tables: Table[]; notes: string[] }

export type Question = {
  name: string
  asks: string
  /** `ours` false: only the floors are measured. */
  run(options: { ours: boolean }): Promise<Answer>
}
