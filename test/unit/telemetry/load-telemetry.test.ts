import { metrics, trace } from '@opentelemetry/api';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider } from '@opentelemetry/sdk-trace-base';
import { afterEach, expect, it } from 'vitest';
import { loadTelemetry } from '../../../lib/telemetry/load-telemetry.js';
import { ManualClock } from '../../support/manual-clock.js';

afterEach(() => {
  trace.disable();
  metrics.disable();
});

it('the API alone traces nothing and costs nothing', async () => {
  expect(await loadTelemetry(new ManualClock())).toBeNull();
});

it('an SDK that is registered, for traces or for metrics, is heard of', async () => {
  trace.setGlobalTracerProvider(new BasicTracerProvider());
  expect(await loadTelemetry(new ManualClock())).not.toBeNull();
  trace.disable();
  expect(await loadTelemetry(new ManualClock())).toBeNull();
  metrics.setGlobalMeterProvider(new MeterProvider());
  expect(await loadTelemetry(new ManualClock())).not.toBeNull();
});
