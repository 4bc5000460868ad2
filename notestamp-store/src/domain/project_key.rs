use super::{Project, ProjectId, Title};

/// How a request names a project of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProjectKey {
    /// By its present title.
    Title(Title),
    /// By its id.
    Id(ProjectId),
}

impl ProjectKey {
    /// Whether it names this project.
    pub fn names(&self, project: &Project) -> bool {
        match self {
            Self::Title(title) => *title == project.metadata.title,
            Self::Id(id) => *id == project.id,
        }
    }
}

impl From<Title> for ProjectKey {
    fn from(title: Title) -> Self {
        Self::Title(title)
    }
}

impl From<&Title> for ProjectKey {
    fn from(title: &Title) -> Self {
        Self::Title(title.clone())
    }
}

impl From<ProjectId> for ProjectKey {
    fn from(id: ProjectId) -> Self {
        Self::Id(id)
    }
}
