use crate::error::PreprocessingError;

/// How images lie in a model's input, without the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) channels: usize,
    /// None: any.
    pub(crate) height: Option<u32>,
    pub(crate) width: Option<u32>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ChannelsFirst,
    ChannelsLast,
    /// Grey, without an axis for its channel.
    Plane,
}

impl Layout {
    /// `shape` has -1 for a dimension that may be any. Channels are first where they can be first or last.
    pub(crate) fn of(shape: &[i64]) -> Result<Self, PreprocessingError> {
        let (kind, channels, height, width) = match *shape {
            [c @ (1 | 3), h, w] => (Kind::ChannelsFirst, c, h, w),
            [h, w, c @ (1 | 3)] => (Kind::ChannelsLast, c, h, w),
            [h, w] => (Kind::Plane, 1, h, w),
            _ => return Err(PreprocessingError::NotImages { found: join(shape) }),
        };
        let fixed = |d: i64| u32::try_from(d).ok().filter(|d| *d > 0);
        Ok(Self { channels: channels as usize, height: fixed(height), width: fixed(width), kind })
    }

    pub(crate) fn shape(self, width: u32, height: u32) -> Vec<i64> {
        let (c, h, w) = (self.channels as i64, i64::from(height), i64::from(width));
        match self.kind {
            Kind::ChannelsFirst => vec![c, h, w],
            Kind::ChannelsLast => vec![h, w, c],
            Kind::Plane => vec![h, w],
        }
    }

    /// Where value `channel` of pixel `at`, of `pixels`, belongs.
    pub(crate) fn index(self, pixels: usize, at: usize, channel: usize) -> usize {
        match self.kind {
            Kind::ChannelsLast => at * self.channels + channel,
            Kind::ChannelsFirst | Kind::Plane => channel * pixels + at,
        }
    }
}

/// Number of channels of an input of this shape, and of values in turn that belong to one of them.
pub(crate) fn channels(item: &[i64]) -> (usize, usize) {
    let size = |dims: &[i64]| dims.iter().product::<i64>().max(1) as usize;
    match *item {
        [h, _, c @ (1 | 3)] if h != 1 && h != 3 => (c as usize, 1),
        [c, ref rest @ ..] if !rest.is_empty() => (c.max(1) as usize, size(rest)),
        _ => (1, usize::MAX),
    }
}

fn join(shape: &[i64]) -> String {
    let dims: Vec<String> = shape.iter().map(|d| if *d < 0 { "?".into() } else { d.to_string() }).collect();
    dims.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_first_last_and_not_there() {
        for (shape, expected) in [
            (&[3, 224, 256][..], Some(vec![3, 7, 5])),
            (&[1, -1, -1], Some(vec![1, 7, 5])),
            (&[224, 256, 3], Some(vec![7, 5, 3])),
            (&[3, 32, 3], Some(vec![3, 7, 5])),
            (&[28, 28], Some(vec![7, 5])),
            (&[-1, -1, -1], None),
            (&[768], None),
            (&[4, 28, 28], None),
        ] {
            assert_eq!(Layout::of(shape).ok().map(|l| l.shape(5, 7)), expected, "{shape:?}");
        }
        let first = Layout::of(&[3, 224, -1]).unwrap();
        assert_eq!((first.height, first.width), (Some(224), None));
    }
}
