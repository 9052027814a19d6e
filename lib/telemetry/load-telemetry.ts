import type * as Api from '@opentelemetry/api';
import type { Clock } from '../clock.js';
import type { Telemetry } from '../job/telemetry.js';

/**
 * OpenTelemetry's API, if the application has installed it and registered an SDK; else null, and jobs cost nothing more.
 */
export async function loadTelemetry(clock: Clock): Promise<Telemetry | null> {
  try {
    const api = await import('@opentelemetry/api');
    if (!isRegistered(api)) return null;
    const { OpenTelemetry } = await import('./open-telemetry.js');
    return new OpenTelemetry(api, clock);
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_MODULE_NOT_FOUND') return null;
    throw error;
  }
}

/** Until an SDK is registered the API gives out one and the same that does nothing. */
function isRegistered({ trace, metrics, ProxyTracerProvider, createNoopMeter }: typeof Api): boolean {
  const provider = trace.getTracerProvider();
  const nothing = new ProxyTracerProvider().getDelegate();
  const traces = (provider instanceof ProxyTracerProvider ? provider.getDelegate() : provider) !== nothing;
  return traces || metrics.getMeter('nestjs-job-reactor') !== createNoopMeter();
}
