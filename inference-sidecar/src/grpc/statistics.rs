use super::proto::{InferBatchStatistics, InferStatistics, ModelStatistics, StatisticDuration};
use crate::serve::Model;
use crate::statistics::Total;

pub(super) fn message(model: &Model) -> ModelStatistics {
    let counts = model.statistics.counts();
    let compute = counts.compute;
    let batch = |(rows, compute): (&usize, &crate::statistics::Compute)| InferBatchStatistics {
        batch_size: *rows as u64,
        compute_input: duration(compute.input),
        compute_infer: duration(compute.infer),
        compute_output: duration(compute.output),
    };
    ModelStatistics {
        name: model.name.clone(),
        version: model.revision.clone(),
        last_inference: counts.last_inference,
        inference_count: counts.inferences,
        execution_count: counts.executions,
        inference_stats: Some(InferStatistics {
            success: duration(counts.success),
            fail: duration(counts.fail),
            queue: duration(counts.queue),
            compute_input: duration(compute.input),
            compute_infer: duration(compute.infer),
            compute_output: duration(compute.output),
            // There is no cache.
            cache_hit: duration(Total::default()),
            cache_miss: duration(Total::default()),
        }),
        batch_stats: counts.batches.iter().map(batch).collect(),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as prost has fields that are messages")]
fn duration(total: Total) -> Option<StatisticDuration> {
    Some(StatisticDuration { count: total.count, ns: total.nanoseconds })
}
