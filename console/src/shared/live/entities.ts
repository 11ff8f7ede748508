/** One entity as the live view knows it. `values` holds only what has arrived since the page was opened. */
export interface LiveEntity {
  id: string;
  type: string;
  name: string | null;
  lon: number;
  lat: number;
  state: string | null;
  observedAt: number | null;
  values: Record<string, unknown>;
}

export interface EntityUpdate {
  id: string;
  type: string;
  values?: Record<string, unknown>;
  observedAt?: string | null;
  deleted?: boolean;
  state?: string | null;
  location?: { type: string; coordinates: unknown } | null;
}

type Watcher = (update: EntityUpdate) => void;

/**
 * All entities on the map, outside React: 100,000 of them must not make 100,000 renders. Readers look at `revision`
 * and `all()`; the side panel watches its one entity.
 */
export class EntityStore {
  private readonly byId = new Map<string, LiveEntity>();
  private readonly watchers = new Map<string, Set<Watcher>>();
  private readonly listeners = new Set<() => void>();
  /** Grows with every change of a position, a state or the set; the map redraws when it differs. */
  revision = 0;
  lastFrameAt: number | null = null;

  get size(): number {
    return this.byId.size;
  }

  all(): IterableIterator<LiveEntity> {
    return this.byId.values();
  }

  get(id: string): LiveEntity | undefined {
    return this.byId.get(id);
  }

  /** Replace everything by a snapshot; values that arrived live are kept for entities that are still there. */
  replace(entities: Iterable<LiveEntity>): void {
    const before = new Map(this.byId);
    this.byId.clear();
    for (const entity of entities) {
      const known = before.get(entity.id);
      if (known) {
        entity.values = { ...known.values, ...entity.values };
        if ((known.observedAt ?? 0) > (entity.observedAt ?? 0)) entity.observedAt = known.observedAt;
      }
      this.byId.set(entity.id, entity);
    }
    this.changed();
  }

  /** Take a frame of changes; entities without a known place join only when the frame brings one. */
  apply(updates: EntityUpdate[], at: number): void {
    for (const update of updates) {
      if (update.deleted) {
        this.byId.delete(update.id);
        continue;
      }
      this.place(update);
      // Who watches one entity hears of it even where no map has been loaded yet.
      for (const watcher of this.watchers.get(update.id) ?? []) watcher(update);
    }
    this.lastFrameAt = at;
    this.changed();
  }

  private place(update: EntityUpdate): void {
    const point = centreOf(update.location);
    let entity = this.byId.get(update.id);
    if (!entity) {
      if (!point) return;
      const [lon, lat] = point;
      entity = { id: update.id, type: update.type, name: null, lon, lat, state: null, observedAt: null, values: {} };
      this.byId.set(update.id, entity);
    }
    if (point) [entity.lon, entity.lat] = point;
    if (update.values) entity.values = { ...entity.values, ...update.values };
    if (update.state !== undefined) entity.state = update.state;
    const observed = update.observedAt ? Date.parse(update.observedAt) : Number.NaN;
    if (!Number.isNaN(observed)) entity.observedAt = Math.max(observed, entity.observedAt ?? 0);
  }

  watch(id: string, watcher: Watcher): () => void {
    const group = this.watchers.get(id) ?? new Set();
    group.add(watcher);
    this.watchers.set(id, group);
    return () => {
      group.delete(watcher);
      if (group.size === 0) this.watchers.delete(id);
    };
  }

  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private changed(): void {
    this.revision += 1;
    for (const listener of this.listeners) listener();
  }
}

/** A point to draw a geometry at: itself, or the middle of its box. */
export function centreOf(geometry: EntityUpdate["location"]): [number, number] | null {
  if (!geometry) return null;
  let west = Infinity;
  let south = Infinity;
  let east = -Infinity;
  let north = -Infinity;
  const visit = (part: unknown): void => {
    if (!Array.isArray(part)) return;
    if (typeof part[0] === "number" && typeof part[1] === "number") {
      west = Math.min(west, part[0]);
      east = Math.max(east, part[0]);
      south = Math.min(south, part[1]);
      north = Math.max(north, part[1]);
      return;
    }
    for (const inner of part) visit(inner);
  };
  visit(geometry.coordinates);
  return Number.isFinite(west) ? [(west + east) / 2, (south + north) / 2] : null;
}

export const entityStore = new EntityStore();
