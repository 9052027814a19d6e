import { NestFactory } from '@nestjs/core';
import { JobReactorModule } from 'nestjs-job-reactor';
import { AppModule } from './app.module.js';

/** HTTP, distributor and a node in one process: `node main.js [port] [database]`. */
const [port = '3000', database = 'reports.sqlite'] = process.argv.slice(2);

const app = await NestFactory.create(AppModule.with(database));
app.connectMicroservice(JobReactorModule.transport(), { inheritAppConfig: true });
app.enableShutdownHooks();
await app.startAllMicroservices();
await app.listen(Number(port), '127.0.0.1');
console.log(`Open for reports on ${await app.getUrl()}`);
