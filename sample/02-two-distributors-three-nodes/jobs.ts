import { defineJob } from 'nestjs-job-reactor';

/** Which application asked for what, and who did it. */
export interface Priced {
  order: string;
  total: number;
  node: string;
}

export const PriceOrder = defineJob<{ order: string; prices: number[] }, Priced>('price-order', {
  maxAttempts: 3,
  backoff: '200ms',
});
