/// What the report needs to know of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {}
