import { FeedbackEntity } from './entities/feedback.entity.js';
import { JobEntity } from './entities/job.entity.js';
import { KeyEntity } from './entities/key.entity.js';
import { LeaseEntity } from './entities/lease.entity.js';
import { PlaceEntity } from './entities/place.entity.js';
import { PauseEntity } from './entities/pause.entity.js';
import { ScheduleEntity } from './entities/schedule.entity.js';
import { StorageEntity } from './entities/storage.entity.js';
import { TombstoneEntity } from './entities/tombstone.entity.js';
import { CreateTables1793491200000 } from './migrations/1793491200000-create-tables.js';
import { AddOwners1795651200000 } from './migrations/1795651200000-add-owners.js';
import { AddDeliveries1796860800000 } from './migrations/1796860800000-add-deliveries.js';
import { AddSchedules1797465600000 } from './migrations/1797465600000-add-schedules.js';
import { AddPauses1798070400000 } from './migrations/1798070400000-add-pauses.js';
import { AddNewcomers1798675200000 } from './migrations/1798675200000-add-newcomers.js';
import { AddKeys1799280000000 } from './migrations/1799280000000-add-keys.js';
import { AddPlaces1799884800000 } from './migrations/1799884800000-add-places.js';

/**
 * Rises with every migration, which writes it down. Within a thousand a migration only adds what an older version of this
 * package can do without (a column with a default, a table, an index), so that old and new processes run side by side
 * while a deployment goes through; one that does more begins the next thousand.
 */
export const SCHEMA_VERSION = 8;

/** The first version that this code can't work with. */
export const TOO_NEW = (Math.floor(SCHEMA_VERSION / 1_000) + 1) * 1_000;

export const MIGRATIONS_TABLE = 'job_reactor_migrations';

/** For teams that manage the schema themselves: add them to a DataSource of your own. */
export const jobReactorEntities = [
  JobEntity,
  FeedbackEntity,
  TombstoneEntity,
  StorageEntity,
  LeaseEntity,
  ScheduleEntity,
  PauseEntity,
  KeyEntity,
  PlaceEntity,
];

/** For teams that run migrations themselves, together with `migrate: false`. */
export const jobReactorMigrations = [
  CreateTables1793491200000,
  AddOwners1795651200000,
  AddDeliveries1796860800000,
  AddSchedules1797465600000,
  AddPauses1798070400000,
  AddNewcomers1798675200000,
  AddKeys1799280000000,
  AddPlaces1799884800000,
];
