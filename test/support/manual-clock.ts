/** The clock of the test kit is that of the product's own tests. */
export { ManualClock, type ManualClockOptions } from '../../lib/testing/manual-clock.js';
